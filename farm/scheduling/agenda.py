"""What the scheduler has to do at a later time."""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count


class Agenda:
    """Actions by the time they are due. Each receives the current time in Unix seconds."""

    def __init__(self) -> None:
        self._actions: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()

    def add(self, due: float, action: Callable[[float], None]) -> None:
        heappush(self._actions, (due, next(self._numbers), action))

    def run(self, now: float) -> None:
        """Do everything that is due, in the order of the times."""
        while self._actions and self._actions[0][0] <= now:
            heappop(self._actions)[2](now)
