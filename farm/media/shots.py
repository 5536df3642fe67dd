"""Where a film's shots begin.

A cut is a change that is large, and far larger than those around it: a pan changes every frame
alike, and a flash changes back. PySceneDetect would do, but brings OpenCV's window system along.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

__all__ = ["ShotFinder"]

_LEAST_CHANGE: Final = 0.05
_TIMES: Final = 3.0
"""A cut changes frames by at least this share of the range, and so many times what others do."""

_AROUND: Final = 6
"""Frames before and after a cut that it is compared with."""

_SHORTEST: Final = 8
"""Frames of the shortest shot."""

_SIZE: Final = (64, 36)


class ShotFinder:
    """Sees a film's frames in their order, keeps a number of each, and says where shots begin."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._before_last: np.ndarray | None = None
        self._changes: list[float] = []

    def see(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        """Take the next frame, at any size."""
        small = cv2.resize(frame, _SIZE, interpolation=cv2.INTER_AREA)
        seen = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
        change = 0.0 if self._last is None else _difference(seen, self._last)
        if self._before_last is not None and change >= _LEAST_CHANGE:
            back = _difference(seen, self._before_last)
            if back < change / _TIMES:
                self._changes[-1] = change = back
        self._changes.append(change)
        self._before_last, self._last = self._last, seen

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of the frames that begin a shot, 0 first."""
        found = [0]
        for index, change in enumerate(self._changes):
            is_large = change >= max(_LEAST_CHANGE, _TIMES * self._usual(index))
            if is_large and index - found[-1] >= _SHORTEST:
                found.append(index)
        return tuple(found)

    def _usual(self, index: int) -> float:
        """Return what changes around a frame, without the largest: there may be another cut."""
        begin = max(1, index - _AROUND)
        around = self._changes[begin:index] + self._changes[index + 1 : index + 1 + _AROUND]
        return float(np.mean(sorted(around)[:-1])) if len(around) > 1 else 0.0


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two frames lie apart, place by place, 0..1."""
    return float(np.abs(one - other).mean())
