"""A figure over the steps of a run, in memory that does not grow with the run."""

from dataclasses import dataclass
from math import isfinite
from typing import Final

import numpy as np

POINTS: Final = 1000
"""Most points that a series keeps."""

_SMOOTHED_SHARE: Final = 25
"""The smoothed line averages one part in this many of all points."""


@dataclass(frozen=True)
class Points:
    """The points of a series: means of steps and values, and the range of the values."""

    steps: np.ndarray
    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray

    def smoothed(self) -> np.ndarray:
        """Return the values' moving average, centred on each point."""
        width = 2 * (len(self.values) // (2 * _SMOOTHED_SHARE)) + 1
        window = np.ones(width)
        sums = np.convolve(self.values, window, "same")
        smoothed: np.ndarray = sums / np.convolve(np.ones(len(self.values)), window, "same")
        return smoothed


@dataclass
class _Bucket:
    """Consecutive values that are one point."""

    count: int
    steps: float
    values: float
    low: float
    high: float

    def take(self, other: "_Bucket") -> None:
        self.count += other.count
        self.steps += other.steps
        self.values += other.values
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)


class Series:
    """A figure over the steps, thinned to at most POINTS points.

    count: values that it was given, those that are not finite included.
    """

    def __init__(self) -> None:
        self.count = 0
        self._buckets: list[_Bucket] = []
        self._full = 1

    def add(self, step: int, value: float) -> None:
        """Add the value of a later step. A value that is not finite leaves no point."""
        self.count += 1
        if not isfinite(value):
            return
        bucket = _Bucket(1, step, value, value, value)
        if self._buckets and self._buckets[-1].count < self._full:
            self._buckets[-1].take(bucket)
            return
        if len(self._buckets) == POINTS:
            self._halve()
        self._buckets.append(bucket)

    def points(self) -> Points:
        """Return the points so far."""
        rows = [(b.steps / b.count, b.values / b.count, b.low, b.high) for b in self._buckets]
        columns = np.array(rows, dtype=np.float64).reshape(-1, 4).T
        return Points(*columns)

    def _halve(self) -> None:
        for first, second in zip(self._buckets[::2], self._buckets[1::2], strict=True):
            first.take(second)
        del self._buckets[1::2]
        self._full *= 2
