"""Where the time comes from: the system, or a test."""

import time
from typing import Protocol


class Clock(Protocol):
    """Tells Unix seconds."""

    def time(self) -> float: ...


class SystemClock:
    """The machine's own clock."""

    def time(self) -> float:
        return time.time()


class FakeClock:
    """A clock that moves when it is told to. seconds: where it starts."""

    def __init__(self, seconds: float = 1_000_000.0) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return self._seconds

    def advance(self, seconds: float) -> None:
        """Move on by so many seconds."""
        self._seconds += seconds
