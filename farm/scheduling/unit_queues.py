"""The queues that the units of a job wait in: to start, by lane, and for the time of their retry."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush

from farm.model.unit import UnitState
from farm.scheduling.ready import ReadyUnits, make_stretches
from farm.scheduling.units import Lane, UnitEntry


class UnitQueues:
    """Units that may start now, and units that may start later."""

    def __init__(self, entries: Sequence[UnitEntry]) -> None:
        self._entries = entries
        stretches = make_stretches(entries)
        self._ready = {lane: ReadyUnits(entries, stretches) for lane in Lane}
        self._waiting: list[tuple[float, int]] = []

    def ready(self, lane: Lane) -> ReadyUnits:
        return self._ready[lane]

    def add_ready(self, entry: UnitEntry) -> None:
        self._ready[entry.lane].add(entry)

    def add_waiting(self, entry: UnitEntry, due: float) -> None:
        """Add a unit that is ready again at a time, in Unix seconds."""
        heappush(self._waiting, (due, entry.number))

    def next_due(self) -> float | None:
        """Return when the next unit is ready again, for any thread."""
        waiting = self._waiting
        return min((due for due, _ in list(waiting)), default=None) if waiting else None

    def due(self, now: float) -> Iterator[UnitEntry]:
        """Remove and yield the units whose time has come."""
        while self._waiting and self._waiting[0][0] <= now:
            yield self._entries[heappop(self._waiting)[1]]

    def take(self, lane: Lane, near: int, accept: Callable[[UnitEntry], bool]) -> UnitEntry | None:
        """Remove and return the unit that a worker gets; see ReadyUnits.take."""
        return self._ready[lane].take(near, accept)

    def hold(self, entry: UnitEntry) -> None:
        """Note that a worker holds a unit."""
        self._ready[entry.lane].hold(entry)

    def let_go(self, entry: UnitEntry) -> None:
        """Note that no worker holds a unit any more."""
        self._ready[entry.lane].let_go(entry)

    def remove(self, entry: UnitEntry) -> None:
        """Remove a unit that is ready or waits for its retry. This looks at all of them."""
        if entry.state is UnitState.READY:
            self._ready[entry.lane].remove(entry)
        self._waiting = [place for place in self._waiting if place[1] != entry.number]
        heapify(self._waiting)

    def clear(self) -> None:
        for ready in self._ready.values():
            ready.clear()
        self._waiting.clear()

    def problems(self) -> Iterator[str]:
        """Yield what the queues have lost."""
        ready = [entry.number for queue in self._ready.values() for entry in queue]
        if Counter(ready) != Counter(self._numbers(UnitState.READY)):
            yield "has lost a ready unit"
        if any(bool(queue) != bool(list(queue)) for queue in self._ready.values()):
            yield "miscounts its ready units"
        waiting = Counter(number for _, number in self._waiting)
        if waiting != Counter(self._numbers(UnitState.RETRY_WAIT)):
            yield "has lost a unit that waits for its retry"

    def _numbers(self, state: UnitState) -> Iterator[int]:
        return (entry.number for entry in self._entries if entry.state is state)
