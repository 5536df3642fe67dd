"""The source of time: the system clock, or a fake one in tests."""

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def time(self) -> float:
        """Return Unix seconds."""

    def sleep(self, seconds: float) -> None:
        """Return after this time."""


class SystemClock:
    """The system clock."""

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class FakeClock:
    """A clock that moves only when a test advances it. seconds: its initial time."""

    def __init__(self, seconds: float = 1_000_000.0) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._seconds += seconds
