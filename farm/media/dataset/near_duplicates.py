"""Finds pictures that look the same, by perceptual hashes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

__all__ = ["Look", "near_duplicates", "perceptual_hash"]

_DISTANCE: Final = 4
"""Bits of 64 in which the hashes of pictures that look the same may differ."""

_COLOUR: Final = 32.0
"""Largest difference of their mean colours, 0..255 in any channel. Flat pictures differ in nothing else."""

_BLOCK: Final = 512
"""Hashes to compare with all others at a time."""


@dataclass(frozen=True)
class Look:
    """What decides whether pictures look the same. colour: the mean, RGB in 0..255."""

    hash: int
    colour: Sequence[float]


def perceptual_hash(image: Image.Image) -> int:
    """Return a hash of 64 bits that is nearly the same for pictures that look the same.

    Source: the signs of the low frequencies of a cosine transform, as in pHash.
    """
    import imagehash

    return int(str(imagehash.phash(image)), 16)


def near_duplicates(looks: Mapping[str, Look]) -> list[list[str]]:
    """Return groups of names whose pictures look the same, each in the order given.

    Two pictures are in one group if a chain of near-duplicates leads from one to the other.
    """
    names = list(looks)
    hashes = np.array([look.hash for look in looks.values()], np.uint64)
    colours = np.array([look.colour for look in looks.values()], np.float32)
    group = list(range(len(names)))
    for start in range(0, len(names), _BLOCK):
        block = hashes[start : start + _BLOCK, None]
        distances = np.bitwise_count(block ^ hashes[None, start:])
        for one, other in (start + np.argwhere(distances <= _DISTANCE)).tolist():
            if np.abs(colours[one] - colours[other]).max() <= _COLOUR:
                first, second = _root(group, one), _root(group, other)
                group[max(first, second)] = min(first, second)
    groups: dict[int, list[str]] = {}
    for number, name in enumerate(names):
        groups.setdefault(_root(group, number), []).append(name)
    return [alike for alike in groups.values() if len(alike) > 1]


def _root(group: list[int], number: int) -> int:
    while group[number] != number:
        group[number] = group[group[number]]
        number = group[number]
    return number
