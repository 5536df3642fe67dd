"""Waits for a ledger that cannot be written at present, and notifies the user."""

from collections.abc import Callable
from typing import Final

from farm.control.clock import Clock
from farm.errors import LedgerUnavailable
from farm.model.events import Notice

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
"""Seconds between tries; short enough that Ctrl-C has an effect soon."""


class Patience:
    """Tries to write to the ledger. notify: receives a notice when trouble begins and ends."""

    def __init__(self, clock: Clock, notify: Callable[[Notice], None]) -> None:
        self._clock, self._notify = clock, notify
        self._trouble: LedgerUnavailable | None = None
        self._pause = FIRST_PAUSE

    @property
    def trouble(self) -> str:
        """Why the ledger could not be written when it was tried last; empty if it could."""
        trouble = self._trouble
        return trouble.reason if trouble else ""

    def attempt(self, write: Callable[[], None]) -> bool:
        """Write; return False if the ledger cannot be written at present."""
        try:
            write()
        except LedgerUnavailable as error:
            if self._trouble is None:
                self._notify(Notice(error.ledger, f"the ledger {error.reason}; trying again"))
            self._trouble = error
            return False
        if self._trouble is not None:
            self._notify(Notice(self._trouble.ledger, "the ledger can be written again"))
        self._trouble, self._pause = None, FIRST_PAUSE
        return True

    def insist(self, write: Callable[[], None], seconds: float) -> None:
        """Write, if necessary after several tries. Raises LedgerUnavailable after this time."""
        deadline = self._clock.time() + seconds
        while not self.attempt(write):
            if self._trouble and self._clock.time() >= deadline:
                raise self._trouble
            self.wait()

    def wait(self) -> None:
        """Pause before the next try, each time longer."""
        self._clock.sleep(self._pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
