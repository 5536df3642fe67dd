"""Counts of units, frames and jobs, kept as they change, so that a query walks over nothing."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from farm.model.job import JobState
from farm.model.unit import UnitState
from farm.scheduling.units import UnitEntry

S = UnitState


class Queue:
    """The ready units of one task. count: of them. oldest: when the first became ready, Unix seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.oldest: float | None = None
        self._ready: deque[tuple[float, UnitEntry]] = deque()

    def add(self, entry: UnitEntry) -> None:
        self._ready.append((entry.since, entry))

    def settle(self) -> None:
        """Update oldest, and drop what is no longer ready."""
        ready = self._ready
        if len(ready) > 2 * self.count + 64:
            ready = self._ready = deque(one for one in ready if _is_still_ready(*one))
        while ready and not _is_still_ready(*ready[0]):
            ready.popleft()
        self.oldest = ready[0][0] if ready else None


class Census:
    """Counts everything that was ever submitted. Other threads may read it at any time.

    units, jobs: number in each state, of ended jobs too. frames: units that render or train.
    queues: of tasks with ready units, by name.
    """

    def __init__(self) -> None:
        self.units: Counter[UnitState] = Counter(dict.fromkeys(UnitState, 0))
        self.jobs: Counter[JobState] = Counter(dict.fromkeys(JobState, 0))
        self.frames = 0
        self.queues: dict[str, Queue] = {}
        self._changed: set[str] = set()

    def add_job(self, task: str, state: JobState, entries: Iterable[UnitEntry]) -> None:
        self.jobs[state] += 1
        for entry in entries:
            self.units[entry.state] += 1
            self.frames += entry.renders
            if entry.state is S.READY:
                self._queue(task).count += 1

    def remove_job(self, state: JobState, entries: Iterable[UnitEntry]) -> None:
        """Count a job that has ended, and its units, no longer."""
        self.jobs[state] -= 1
        for entry in entries:
            self.units[entry.state] -= 1
            self.frames -= entry.renders

    def change_job(self, before: JobState, state: JobState) -> None:
        self.jobs[before] -= 1
        self.jobs[state] += 1

    def change_units(self, task: str, before: UnitState, state: UnitState, count: int = 1) -> None:
        self.units[before] -= count
        self.units[state] += count
        if before is S.READY or state is S.READY:
            self._queue(task).count += count * ((state is S.READY) - (before is S.READY))

    def add_ready(self, task: str, entry: UnitEntry) -> None:
        """Note since when a unit is ready. Units are added in the order of that time."""
        self._queue(task).add(entry)

    def _queue(self, task: str) -> Queue:
        self._changed.add(task)
        queue = self.queues.get(task)
        if queue is None:
            queue = self.queues[task] = Queue()
        return queue

    def settle(self) -> None:
        """Update the queues after an event."""
        for task in self._changed:
            self.queues[task].settle()
            if not self.queues[task].count:
                del self.queues[task]
        self._changed.clear()

    def problems(self, live: Iterable[UnitEntry]) -> Iterator[str]:
        """Yield every count that differs from the units of the jobs that have not ended."""
        entries = list(live)
        counts = Counter(entry.state for entry in entries)
        for state in UnitState:
            if self.units[state] != counts[state] and not state.is_final:
                yield f"{counts[state]} units are {state}, but {self.units[state]} are counted"
        queued = sum(queue.count for queue in self.queues.values())
        if queued != counts[S.READY]:
            yield f"{counts[S.READY]} units are ready, but {queued} are queued"
        oldest = min((e.since for e in entries if e.state is S.READY), default=None)
        known = min((q.oldest for q in self.queues.values() if q.oldest is not None), default=None)
        if known != oldest:
            yield f"the oldest ready unit is of {oldest}, not of {known}"


def _is_still_ready(since: float, entry: UnitEntry) -> bool:
    return entry.state is S.READY and entry.since == since
