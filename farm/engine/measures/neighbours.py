"""The picture of a set that each sample resembles most: copies of training pictures, and duplicates.

Pictures are compared as small thumbnails, mirrored ones too, by the angle between their pixel
values. On photographs of cats, this separates better than perceptual hashes do: the same
photograph, encoded, blurred or brightened again, is below 0.25, and other cats are above 0.35.
"""

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from farm.engine.pyramid import resize

Thumbnails = UInt8[Tensor, "_ 3 16 16"]

DUPLICATE: Final = 0.25
"""Distance below which two pictures count as the same."""

_SIDE: Final = 16
_CHUNK: Final = 2048


@dataclass(frozen=True)
class Nearest:
    """The nearest picture in a set, for each of some pictures.

    index: its number in the set. distance: 0 for equal pictures, 2 for a picture and its negative.
    is_mirrored: whether it is nearest when it is mirrored.
    """

    index: Int[Tensor, " pictures"]
    distance: Float[Tensor, " pictures"]
    is_mirrored: Bool[Tensor, " pictures"]


def thumbnails(pictures: Float[Tensor, "pictures 3 height width"]) -> Thumbnails:
    """Return small versions of pictures in 0..1, to compare them by: 768 bytes each."""
    return resize(pictures, _SIDE, _SIDE).clamp(0, 1).mul(255).round().to("cpu", torch.uint8)


def nearest(pictures: Thumbnails, others: Thumbnails) -> Nearest:
    """Return the nearest of the others for each picture.

    The distance is that of the pixel values with their mean subtracted and divided by their norm, so
    that brightness and contrast do not count.
    """
    return _nearest(pictures, others, others_are_same=False)


def nearest_other(pictures: Thumbnails, first: int | None = None) -> Nearest:
    """Return the nearest other picture of the same set, of which there must be two.

    first: for that many pictures, from the first one on; None for all.
    """
    return _nearest(pictures[:first], pictures, others_are_same=True)


def duplicate_rate(pictures: Thumbnails) -> float:
    """Return the fraction of pictures of which the set has another copy, 0..1.

    It grows with the size of the set, so compare only sets of equal size.
    """
    is_copy = nearest_other(pictures).distance < DUPLICATE
    return float(is_copy.double().mean())


def _nearest(pictures: Thumbnails, others: Thumbnails, *, others_are_same: bool) -> Nearest:
    straight, mirrored = _vectors(pictures), _vectors(pictures.flip(3))
    parts = []
    for start in range(0, len(pictures), _CHUNK):
        first = start if others_are_same else None
        chunk = slice(start, start + _CHUNK)
        parts.append(_nearest_of_chunk(straight[chunk], mirrored[chunk], others, first))
    index, cosine, is_mirrored = (torch.cat(values) for values in zip(*parts, strict=True))
    return Nearest(index, (2 - 2 * cosine.clamp(-1, 1)).sqrt(), is_mirrored)


def _nearest_of_chunk(
    straight: Float[Tensor, "chunk values"],
    mirrored: Float[Tensor, "chunk values"],
    others: UInt8[Tensor, "others 3 16 16"],
    first: int | None,
) -> tuple[Int[Tensor, " chunk"], Float[Tensor, " chunk"], Bool[Tensor, " chunk"]]:
    """Return index, cosine, and whether it is mirrored. first: number of the first among the others."""
    count = len(straight)
    best, index = torch.full((count,), -2.0), torch.zeros(count, dtype=torch.int64)
    is_mirrored = torch.zeros(count, dtype=torch.bool)
    for start in range(0, len(others), _CHUNK):
        vectors = _vectors(others[start : start + _CHUNK]).T
        for queries, flag in ((straight, False), (mirrored, True)):
            cosines = queries @ vectors
            if first is not None and first == start:
                cosines.fill_diagonal_(-2.0)
            cosine, position = cosines.max(1)
            is_better = cosine > best
            best = torch.where(is_better, cosine, best)
            index = torch.where(is_better, position + start, index)
            is_mirrored = torch.where(is_better, flag, is_mirrored)
    return index, best, is_mirrored


def _vectors(
    pictures: UInt8[Tensor, "count 3 16 16"],
) -> Float[Tensor, "count values"]:
    values = pictures.flatten(1).float()
    values -= values.mean(1, keepdim=True)
    norm: Tensor = values.norm(dim=1, keepdim=True)
    return values / norm.clamp_min(1e-6)
