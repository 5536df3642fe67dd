"""How a dream goes on from the previous frame of a coherent film.

What the dream had added to that frame is carried over, not the picture: the frame's own picture
stays sharp. Steps add what was not carried.
"""

from math import ceil
from typing import Final

from torch import Tensor

from farm import Context, Previous
from farm_dream.params import DreamParams

CARRIED: Final = 0.9
"""Share of a dream's steps that the previous frame stands for, where it is trusted fully."""

_MOST: Final = 5
"""Largest factor of a step: longer steps leave specks."""


def carried(start: Tensor, params: DreamParams, previous: Previous) -> Tensor:
    """Return the picture that a frame starts from, with the previous frame's dream in it.

    start: what the frame starts from without a previous one.
    """
    before = previous.source if params.start == "picture" else start
    return (start + previous.trust * (previous.image - before)).clamp(0, 1)


def missing_steps(params: DreamParams, previous: Previous, context: Context) -> tuple[int, Tensor]:
    """Return the number of steps that a frame still needs, and the factor of each, by place.

    The factor makes them count for all steps in places that have just come into view.
    """
    missing = params.iterations * (1 - CARRIED * previous.trust)
    steps = max(ceil(params.iterations / _MOST), round(context.mean(missing)))
    return steps, missing / steps
