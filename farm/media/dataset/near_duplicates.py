"""Finds pictures that look the same, by perceptual hashes."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import Image

__all__ = ["look_of", "near_duplicates"]

_DISTANCE: Final = 4
"""Bits of 64 in which the hashes of pictures that look the same may differ."""

_BLOCK: Final = 512
"""Hashes to compare with all others at a time."""


def look_of(image: Image.Image) -> int:
    """Return a hash of 64 bits that is nearly the same for pictures that look the same.

    Source: the signs of the low frequencies of a cosine transform, as in pHash.
    """
    import imagehash

    return int(str(imagehash.phash(image)), 16)


def near_duplicates(looks: Mapping[str, int]) -> list[list[str]]:
    """Return groups of names whose pictures look the same, each in the order given.

    Two pictures are in one group if a chain of near-duplicates leads from one to the other.
    """
    names, values = list(looks), np.array(list(looks.values()), np.uint64)
    group = list(range(len(names)))
    for start in range(0, len(names), _BLOCK):
        block = values[start : start + _BLOCK, None]
        distances = np.bitwise_count(block ^ values[None, start:])
        for row, column in np.argwhere(distances <= _DISTANCE).tolist():
            first, second = _root(group, start + row), _root(group, start + column)
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
