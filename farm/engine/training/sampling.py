"""Which latents to draw from a checkpoint, and how to show the pictures.

A sampler (farm.Sampler) turns latents into pictures; nothing here knows the network behind it.
"""

from collections.abc import Callable, Iterator
from math import ceil, sqrt
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor
from torchvision.utils import make_grid

from farm.errors import PluginError, UserError
from farm.model.specs import Sampler

Latents = Float[Tensor, "_ size"]
Pictures = Float[Tensor, "_ 3 height width"]
Report = Callable[[int, int], None]

AT_ONCE: Final = 32
"""Pictures that are drawn at a time, which bounds the memory."""

_MAX_PIXELS: Final = 2**27

_GAP: Final = 2
"""Pixels between the pictures of a grid."""


def interpolation(sampler: Sampler, rows: int, columns: int, seed: int) -> Latents:
    """Return latents row by row; each row leads from one latent of the seed to another.

    columns: latents in a row, both ends included; at least 2.
    """
    ends = sampler.latents(2 * rows, seed)
    first, last = ends[::2], ends[1::2]
    steps = [sampler.mix(first, last, column / (columns - 1)) for column in range(columns)]
    return torch.stack(steps, 1).flatten(0, 1)


def walk(sampler: Sampler, stops: int, frames: int, seed: int) -> Latents:
    """Return the latents of a walk from stop to stop that ends where it began.

    stops: latents of the seed to pass through. frames: in all; the last one is followed by the
    first, so that a film of them loops.
    """
    through = sampler.latents(stops, seed)
    steps = []
    for frame in range(frames):
        stop, rest = divmod(frame * stops, frames)
        first, last = through[[stop]], through[[(stop + 1) % stops]]
        steps.append(sampler.mix(first, last, rest / frames))
    return torch.cat(steps)


def draw(sampler: Sampler, latents: Latents) -> Iterator[Pictures]:
    """Draw pictures in batches of at most 32; RGB in 0..1, on the CPU.

    Raises PluginError for what is no batch of pictures, UserError for values that are not finite.
    """
    for start in range(0, len(latents), AT_ONCE):
        part = latents[start : start + AT_ONCE]
        with torch.no_grad():
            pictures = sampler.draw(part).detach().to("cpu", torch.float32)
        if pictures.ndim != 4 or pictures.shape[:2] != (len(part), 3):
            shape, expected = list(pictures.shape), f"[{len(part)}, 3, height, width]"
            name = type(sampler).__name__
            raise PluginError(name, f"drew a tensor of shape {shape}; expected {expected}")
        if not pictures.isfinite().all():
            raise UserError(
                "the checkpoint draws pictures with NaN or infinity: the run has diverged; choose an "
                "earlier checkpoint with RUN@STEP"
            )
        yield pictures.clamp(0, 1)


def frames(
    sampler: Sampler, latents: Latents, report: Report
) -> Iterator[Float32[np.ndarray, "height width 3"]]:
    """Draw pictures one by one, as they are written. report: receives how many, of how many."""
    done = 0
    for batch in draw(sampler, latents):
        for picture in batch.movedim(1, -1).numpy():
            yield picture
            done += 1
            report(done, len(latents))


def grid(
    sampler: Sampler, latents: Latents, columns: int | None, report: Report
) -> Float32[np.ndarray, "height width 3"]:
    """Draw pictures side by side, with gaps; their values stay as they are.

    columns: in a row; None for about as many rows as columns. Raises UserError if the grid would
    have more than 134 million pixels.
    """
    batches = []
    for batch in draw(sampler, latents):
        _, _, height, width = batch.shape
        if len(latents) * height * width > _MAX_PIXELS:
            raise UserError(
                f"a grid of {len(latents)} pictures of {width}x{height} pixels is too large; draw "
                "fewer with --count, or give a folder with -o"
            )
        batches.append(batch)
        report(sum(map(len, batches)), len(latents))
    return side_by_side(torch.cat(batches), columns or ceil(sqrt(len(latents))))


def side_by_side(pictures: Pictures, columns: int) -> Float32[np.ndarray, "rows columns 3"]:
    """Return pictures in 0..1 in one, with gaps between them."""
    whole: Tensor = make_grid(pictures, columns, _GAP)
    return whole.movedim(0, -1).numpy()
