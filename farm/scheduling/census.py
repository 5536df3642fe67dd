"""Counts of units, frames and jobs, kept as they change, so that a query walks over nothing."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from farm.model.job import JobState
from farm.model.unit import UnitState
from farm.scheduling.units import UnitEntry

S = UnitState


class Census:
    """Counts everything that was ever submitted. Other threads may read it at any time.

    units, jobs: number in each state, of ended jobs too. frames: units that render or train.
    oldest_ready: when the unit that has been ready longest became ready, in Unix seconds.
    """

    def __init__(self) -> None:
        self.units: Counter[UnitState] = Counter(dict.fromkeys(UnitState, 0))
        self.jobs: Counter[JobState] = Counter(dict.fromkeys(JobState, 0))
        self.frames = 0
        self.oldest_ready: float | None = None
        self._ready: deque[tuple[float, UnitEntry]] = deque()

    def add_job(self, state: JobState, entries: Iterable[UnitEntry]) -> None:
        self.jobs[state] += 1
        for entry in entries:
            self.units[entry.state] += 1
            self.frames += entry.renders

    def change_job(self, before: JobState, state: JobState) -> None:
        self.jobs[before] -= 1
        self.jobs[state] += 1

    def change_unit(self, before: UnitState, state: UnitState) -> None:
        self.units[before] -= 1
        self.units[state] += 1

    def add_ready(self, entry: UnitEntry) -> None:
        """Note since when a unit is ready. Units are added in the order of that time."""
        self._ready.append((entry.since, entry))

    def settle(self) -> None:
        """Update oldest_ready after an event."""
        ready = self._ready
        if len(ready) > 2 * self.units[S.READY] + 64:
            ready = self._ready = deque(one for one in ready if _is_still_ready(*one))
        while ready and not _is_still_ready(*ready[0]):
            ready.popleft()
        self.oldest_ready = ready[0][0] if ready else None

    def problems(self, live: Iterable[UnitEntry]) -> Iterator[str]:
        """Yield every count that differs from the units of the jobs that have not ended."""
        entries = list(live)
        counts = Counter(entry.state for entry in entries)
        for state in UnitState:
            if self.units[state] != counts[state] and not state.is_final:
                yield f"{counts[state]} units are {state}, but {self.units[state]} are counted"
        oldest = min((e.since for e in entries if e.state is S.READY), default=None)
        if self.oldest_ready != oldest:
            yield f"the oldest ready unit is of {oldest}, not of {self.oldest_ready}"


def _is_still_ready(since: float, entry: UnitEntry) -> bool:
    return entry.state is S.READY and entry.since == since
