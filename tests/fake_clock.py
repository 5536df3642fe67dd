"""A clock that moves only when a test advances it."""


class FakeClock:
    """A farm.control.clock.Clock. seconds: its initial time."""

    def __init__(self, seconds: float = 1_000_000.0) -> None:
        self._seconds = seconds

    def time(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._seconds += seconds
