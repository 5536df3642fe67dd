"""How strongly, and how finely, a rendered picture differs from its source, and pictures held to it.

Averaging two renderings of one frame, and carrying one from frame to frame, weaken what the effect
added: details that do not coincide cancel out. Scaling each band of frequencies of the change makes
up for that, and leaves the source as it is. Equal bands can still add up to another strength, because they
overlap differently, so the whole change is scaled as well.
"""

from itertools import pairwise
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32

__all__ = ["Strength", "cross_fade", "hold", "strength_of"]

Pixels = Float32[np.ndarray, "height width 3"]

Strength = tuple[float, ...]
"""Mean absolute change, 0..1: in each band of frequencies, finest first, and then of the whole."""

_BANDS: Final = 4
"""The last one holds all frequencies that the others do not."""

_PASSES: Final = 3
"""Scaling clips a few pixels, which the next pass makes up for."""

_MOST: Final = 2.0
"""Largest factor of one pass, in either direction."""


def strength_of(rendered: Pixels, source: Pixels) -> Strength:
    """Return how strongly a picture differs from its source, which may have another size."""
    change = rendered - _resized(source, rendered)
    return tuple(_mean(part) for part in (*_split(change), change))


def cross_fade(one: Pixels, other: Pixels, share: float, source: Pixels) -> Pixels:
    """Return a picture between two that were rendered from one source, with a strength between theirs.

    share: of the other picture, 0..1.
    """
    pair = zip(strength_of(one, source), strength_of(other, source), strict=True)
    strength = tuple(a + (b - a) * share for a, b in pair)
    return hold(one + np.float32(share) * (other - one), source, strength)


def hold(rendered: Pixels, source: Pixels, strength: Strength) -> Pixels:
    """Return the picture with its differences from the source scaled to this strength, in 0..1."""
    source, (*in_bands, whole) = _resized(source, rendered), strength
    for _ in range(_PASSES):
        bands = _split(rendered - source)
        change = _merged([_scaled(band, to) for band, to in zip(bands, in_bands, strict=True)])
        rendered = (source + _scaled(change, whole)).clip(0, 1)
    return rendered


def _scaled(change: Pixels, wanted: float) -> Pixels:
    found = _mean(change)
    return change * np.float32(min(_MOST, max(1 / _MOST, wanted / found)) if found else 1)


def _mean(band: Pixels) -> float:
    return float(np.abs(band).mean(dtype=np.float64))


def _split(change: Pixels) -> list[Pixels]:
    """Split a change into bands. Source: Burt & Adelson 1983, the Laplacian pyramid."""
    stack = [change]
    for _ in range(_BANDS - 1):
        stack.append(cv2.pyrDown(stack[-1]))
    return [fine - _enlarged(coarse, fine) for fine, coarse in pairwise(stack)] + [stack[-1]]


def _merged(bands: list[Pixels]) -> Pixels:
    merged = bands[-1]
    for band in reversed(bands[:-1]):
        merged = band + _enlarged(merged, band)
    return merged


def _resized(source: Pixels, like: Pixels) -> Pixels:
    if source.shape == like.shape:
        return source
    is_smaller = source.shape[0] * source.shape[1] > like.shape[0] * like.shape[1]
    way = cv2.INTER_AREA if is_smaller else cv2.INTER_CUBIC  # INTER_AREA would enlarge into blocks
    return np.asarray(cv2.resize(source, like.shape[1::-1], interpolation=way))


def _enlarged(picture: Pixels, like: Pixels) -> Pixels:
    return np.asarray(cv2.resize(picture, like.shape[1::-1], interpolation=cv2.INTER_LINEAR))
