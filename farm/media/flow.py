"""Optical flow between neighbouring frames, and warping pictures by it.

Source: Kroeger, Timofte, Dai, Van Gool 2016, "Fast optical flow using dense inverse search",
arXiv 1603.03590, as implemented by OpenCV; the consistency check: Sundaram, Brox, Keutzer 2010, "Dense
point trajectories by GPU-accelerated large displacement optical flow", equation 5.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["Motion", "motion", "no_motion"]

Pixels = Float32[np.ndarray, "height width 3"]
Flow = Float32[np.ndarray, "height width 2"]

_MAX_HEIGHT: Final = 1080
"""The flow of taller frames is computed at this height and enlarged."""

_MIN_SIDE: Final = 32
"""Pixels per side; smaller frames are taken to have no motion."""

_EDGE: Final = 5
"""Pixels over which trust falls off."""

_MARGIN: Final = 1.0
"""Pixels beyond the edge that still count as inside: the flow of a still scene is off by fractions."""


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion from the previous frame to a frame.

    back: for each pixel, the offset right and down of its position in the previous frame. trust: 0
    where the content was hidden or outside in the previous frame, else 1, with a soft edge.
    """

    back: Flow
    trust: Float32[np.ndarray, "height width"]

    def carry(self, picture: Pixels) -> Pixels:
        """Warp a picture of the previous frame, of any size, to the current frame."""
        height, width = picture.shape[:2]
        positions = _positions(_resized(self.back, height, width))
        warped = cv2.remap(picture, *positions, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(warped).clip(0, 1)


def motion(previous: Pixels, current: Pixels) -> Motion:
    """Return the motion between two frames of one size, 0..1."""
    height, width = current.shape[:2]
    if min(height, width) < _MIN_SIDE:
        return no_motion(height, width)
    first, second = _grey(previous), _grey(current)
    forward, back = _flow(first, second), _flow(second, first)
    trust = _consistency(forward, back)
    return Motion(_resized(back, height, width), cv2.resize(trust, (width, height)))


def no_motion(height: int, width: int) -> Motion:
    """Return what a frame of this size has that shows all of the previous one, where it was."""
    return Motion(np.zeros((height, width, 2), np.float32), np.ones((height, width), np.float32))


def _grey(frame: Pixels) -> UInt8[np.ndarray, "height width"]:
    levels = np.rint(frame.clip(0, 1) * 255).astype(np.uint8)
    grey = cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY)
    scale = _MAX_HEIGHT / grey.shape[0]
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey)


def _flow(one: np.ndarray, other: np.ndarray) -> Flow:
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(search.calc(one, other, np.empty(0)))


def _consistency(forward: Flow, back: Flow) -> Float32[np.ndarray, "height width"]:
    """Return 1 where following the flow back and forward returns to the start, else 0; blurred."""
    x, y = _positions(back)
    height, width = x.shape
    inside = (x >= -_MARGIN) & (x <= width - 1 + _MARGIN)
    inside &= (y >= -_MARGIN) & (y <= height - 1 + _MARGIN)
    returned = cv2.remap(forward, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = np.square(returned + back).sum(axis=2)
    allowed = 0.01 * (np.square(returned).sum(axis=2) + np.square(back).sum(axis=2)) + 0.5
    consistent = ((error <= allowed) & inside).astype(np.float32)
    consistent = cv2.erode(consistent, np.ones((_EDGE, _EDGE), np.uint8))
    return np.asarray(cv2.blur(consistent, (_EDGE, _EDGE)))


def _positions(back: Flow) -> tuple[np.ndarray, np.ndarray]:
    """Return the column and row of each pixel in the previous frame, as fractions."""
    height, width = back.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return x + back[..., 0], y + back[..., 1]


def _resized(back: Flow, height: int, width: int) -> Flow:
    """Return a flow at another size, with its offsets scaled."""
    if back.shape[:2] == (height, width):
        return back
    scale = np.array([width / back.shape[1], height / back.shape[0]], np.float32)
    return np.asarray(cv2.resize(back, (width, height)) * scale)
