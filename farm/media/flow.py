"""Optical flow between neighbouring frames, and pictures moved along with it.

Source: Kroeger, Timofte, Dai, Van Gool 2016, "Fast optical flow using dense inverse search",
arXiv 1603.03590, as OpenCV has it; the consistency check: Sundaram, Brox, Keutzer 2010, "Dense
point trajectories by GPU-accelerated large displacement optical flow", equation 5.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["Motion", "motion"]

Pixels = Float32[np.ndarray, "height width 3"]
Field = Float32[np.ndarray, "height width 2"]

_MOST_LINES: Final = 1080
"""Flow of larger frames is found at this height, and enlarged."""

_LEAST: Final = 32
"""Pixels a side: in smaller frames nothing is said to move."""

_EDGE: Final = 5
"""Pixels over which trust falls off."""


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the things of a frame were in the one before.

    back: for each pixel, how far right and down of it. trust: 0 where what is seen was hidden or
    outside, 1 elsewhere, soft at the edge.
    """

    back: Field
    trust: Float32[np.ndarray, "height width"]

    def carry(self, picture: Pixels) -> Pixels:
        """Return a picture of the frame before, at any size, with its things where they are now."""
        height, width = picture.shape[:2]
        maps = _maps(_resized(self.back, height, width))
        moved = cv2.remap(picture, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved).clip(0, 1)


def motion(before: Pixels, after: Pixels) -> Motion:
    """Return how the things of two frames of one size, 0..1, have moved from one to the other."""
    height, width = after.shape[:2]
    if min(height, width) < _LEAST:
        return Motion(
            np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32)
        )
    first, second = _grey(before), _grey(after)
    forth, back = _flow(first, second), _flow(second, first)
    trust = _trust(forth, back)
    return Motion(_resized(back, height, width), cv2.resize(trust, (width, height)))


def _grey(frame: Pixels) -> UInt8[np.ndarray, "height width"]:
    levels = np.rint(frame.clip(0, 1) * 255).astype(np.uint8)
    grey = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
    scale = _MOST_LINES / grey.shape[0]
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey)


def _flow(one: np.ndarray, other: np.ndarray) -> Field:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(one, other, np.empty(0)))


def _trust(forth: Field, back: Field) -> Float32[np.ndarray, "height width"]:
    """Return where going back and forth again ends at the start."""
    x, y = _maps(back)
    height, width = x.shape
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    there = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    missed = np.square(there + back).sum(axis=2)
    allowed = 0.01 * (np.square(there).sum(axis=2) + np.square(back).sum(axis=2)) + 0.5
    sure = ((missed <= allowed) & inside).astype(np.float32)
    sure = cv2.erode(sure, np.ones((_EDGE, _EDGE), np.uint8))
    return np.asarray(cv2.blur(sure, (_EDGE, _EDGE)))


def _maps(back: Field) -> tuple[np.ndarray, np.ndarray]:
    """Return where each pixel was: its column and its row, fractions of pixels among them."""
    height, width = back.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x + back[..., 0], y + back[..., 1]


def _resized(back: Field, height: int, width: int) -> Field:
    """Return a flow at another size, its distances with it."""
    if back.shape[:2] == (height, width):
        return back
    scale = np.array([width / back.shape[1], height / back.shape[0]], np.float32)
    return np.asarray(cv2.resize(back, (width, height)) * scale)
