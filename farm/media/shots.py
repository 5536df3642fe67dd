"""Finds the cuts of a film, and the frames by which it has come out of black or white.

A cut is a large change, and far larger than the changes around it: a pan changes every frame
alike, and a flash changes back. PySceneDetect is not used because it needs OpenCV's window system.
"""

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

__all__ = ["ShotFinder", "cuts_among"]

_MIN_CHANGE: Final = 0.05
"""Smallest change at a cut, as a share of the full range."""

_MIN_RATIO: Final = 3.0
"""Smallest ratio of the change at a cut to the changes around it."""

_NEIGHBOURS: Final = 6
"""Changes before and after a cut that it is compared with."""

_MIN_SHOT: Final = 8
"""Frames of the shortest shot."""

_NO_ROOM: Final = 0.05
"""Distance from black or white below which a film is taken to be there; brightness is 0..1."""

_MIN_RISE: Final = 2.0
"""Smallest ratio of that distance to the smallest before, for a film that has come out of it."""

_MIN_FADE: Final = 16
"""Frames from a cut, or from one such frame, to the next."""

_SIZE: Final = (64, 36)


class ShotFinder:
    """Takes a film's frames in order and finds its cuts and fades; stores two numbers per frame."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._before_last: np.ndarray | None = None
        self._changes: list[float] = []
        self._rooms: list[float] = []
        """Of each frame, how far its brightness is from black or white, whichever is nearer."""

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        """Add the next frame, at any size."""
        small = cv2.resize(frame, _SIZE, interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32) / 255
        brightness = float(lab[..., 0].mean())
        self._rooms.append(min(brightness, 1 - brightness))
        change = 0.0 if self._last is None else _difference(lab, self._last)
        if self._before_last is not None and change >= _MIN_CHANGE:
            back = _difference(lab, self._before_last)
            if back < change / _MIN_RATIO:
                self._changes[-1] = change = back
        self._changes.append(change)
        self._before_last, self._last = self._last, lab

    @property
    def cuts(self) -> tuple[int, ...]:
        """Indices of the frames that start a shot, 0 included."""
        cuts = [0]
        for index, change in enumerate(self._changes):
            is_large = change >= max(_MIN_CHANGE, _MIN_RATIO * self._typical(index))
            if is_large and index - cuts[-1] >= _MIN_SHOT:
                cuts.append(index)
        return tuple(cuts)

    @property
    def fades(self) -> tuple[int, ...]:
        """Indices of the frames by which a shot has come out of black or white, or further out of it.

        An effect that is carried from frame to frame is out of proportion there: what it does to
        black can only be brighter, and stays so.
        """
        fades = []
        begun, least, cuts = 0, 1.0, frozenset(self.cuts)
        for index, room in enumerate(self._rooms):
            if index in cuts:
                begun, least = index, room
            least = min(least, room)
            if room >= _MIN_RISE * max(least, _NO_ROOM) and index - begun >= _MIN_FADE:
                fades.append(index)
                begun, least = index, room
        return tuple(fades)

    def _typical(self, index: int) -> float:
        """Return the mean change around a frame, without the largest, which may be another cut."""
        begin = max(1, index - _NEIGHBOURS)
        around = self._changes[begin:index] + self._changes[index + 1 : index + 1 + _NEIGHBOURS]
        return float(np.mean(sorted(around)[:-1])) if len(around) > 1 else 0.0


def cuts_among(cuts: Iterable[int], chosen: range) -> tuple[int, ...]:
    """Return the positions among the chosen frames where a shot starts. cuts: in the whole film."""
    starts = {next((p for p, index in enumerate(chosen) if index >= cut), None) for cut in cuts}
    return tuple(sorted({0, *(start for start in starts if start is not None)}))


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """Return the mean absolute difference of two frames, 0..1."""
    return float(np.abs(one - other).mean())
