"""Whether the control loop has listened to the workers long enough to judge them by their silence."""

from typing import Final

__all__ = ["Attention"]

AWAY_SECONDS: Final = 30.0
"""A loop that has not listened for this long was kept from it, as by a ledger that was locked."""

ANSWER_SECONDS: Final = 10.0
"""How long workers may take to answer once the loop listens again."""


class Attention:
    """When the loop has listened. Times are in Unix seconds."""

    def __init__(self) -> None:
        self._listened = self._back = float("-inf")

    def listen(self, now: float) -> bool:
        """Note that the loop listens; return whether a silent worker has had the time to answer."""
        if now - self._listened >= AWAY_SECONDS:
            self._back = now
        self._listened = now
        return now - self._back >= ANSWER_SECONDS
