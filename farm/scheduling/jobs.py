"""The units of one job: their states, what each waits for, and which can start next.

A job moves its units only along TRANSITIONS and emits every change. It knows neither workers nor
the retry policy: the scheduler decides what happens to a unit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from farm.errors import FarmBug
from farm.model.events import Instruction, JobChanged, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState, Wanted
from farm.model.messages import Failure, Figures, Reason
from farm.model.unit import HELD, Role, Unit, UnitState

S = UnitState

Emit = Callable[[Instruction], None]

TRANSITIONS = frozenset(
    {
        (S.BLOCKED, S.READY),
        (S.BLOCKED, S.CANCELLED),
        (S.READY, S.LEASED),
        (S.READY, S.CANCELLED),
        (S.LEASED, S.RUNNING),
        (S.RETRY_WAIT, S.READY),
        (S.RETRY_WAIT, S.CANCELLED),
        *(
            (held, end)
            for held in HELD
            for end in (S.READY, S.RETRY_WAIT, S.SUCCEEDED, S.QUARANTINED, S.CANCELLED)
        ),
    }
)
"""Every change of state that is allowed."""


@dataclass
class UnitEntry:
    """A unit and what has happened to it.

    number: index within the job. since: Unix seconds when it entered its state. waits_for: needed
    units that have not ended, while it is blocked. tried_on: workers it failed on. history: its
    changes of state, one line each.
    """

    unit: Unit
    number: int
    state: UnitState
    since: float
    attempt: int
    failures: Counter[Reason]
    waits_for: set[str] = field(default_factory=set)
    tried_on: set[str] = field(default_factory=set)
    history: list[str] = field(default_factory=list)


class ScheduledJob:
    """A job, its units and the queues they wait in.

    emit: receives each UnitChanged and JobChanged as it happens. held: number of units that workers
    hold. left: number of units that have not ended. is_given_up: the farm will not finish the job,
    even if some units succeeded.
    """

    def __init__(self, job: Job, units: Sequence[RestoredUnit], now: float, emit: Emit) -> None:
        self.job = job
        self.entries = [_entry(restored, number, now) for number, restored in enumerate(units)]
        self.held = sum(entry.state in HELD for entry in self.entries)
        self.left = sum(not entry.state.is_final for entry in self.entries)
        self.is_given_up = False
        self._emit = emit
        self._dependants = _link_dependants(self.entries)
        self._missing: set[str] = set()
        self._ready: dict[Role, list[int]] = {role: [] for role in Role}
        self._waiting: list[tuple[float, int]] = []

    # The job

    def want(self, wanted: Wanted) -> None:
        """Record what the user wants the job to do."""
        self.job = replace(self.job, wanted=wanted)
        self._emit(JobChanged(self.job))

    def settle(self) -> None:
        """Update the job's state from its units and from what the user wants."""
        state, reason = self._current_state()
        if state is not self.job.state:
            self.job = replace(self.job, state=state, reason=reason)
            self._emit(JobChanged(self.job))

    def _current_state(self) -> tuple[JobState, str]:
        """Return the job's state and the reason for it."""
        if self.left:
            return self._unfinished_state(), "paused" if self._is_paused() else ""
        total, counts = len(self.entries), Counter(entry.state for entry in self.entries)
        failed = counts[S.QUARANTINED] + counts[S.CANCELLED]
        if self.job.wanted is Wanted.CANCEL:
            return JobState.CANCELLED, "cancelled"
        if self.is_given_up:
            return JobState.FAILED, f"no workers left; {failed} of {total} units not finished"
        if failed == total:
            return JobState.FAILED, "no unit succeeded"
        return JobState.COMPLETED, f"{failed} of {total} failed" if failed else ""

    def _unfinished_state(self) -> JobState:
        if self._is_paused():
            return JobState.PAUSED
        has_started = self.held or self.left < len(self.entries)
        is_running = has_started or self.job.state is JobState.RUNNING
        return JobState.RUNNING if is_running else JobState.QUEUED

    def _is_paused(self) -> bool:
        return self.job.wanted is Wanted.PAUSE and not self.held

    # Its units

    def restore(self, entry: UnitEntry, state: UnitState, now: float) -> None:
        """Queue or release a unit according to the state it was restored in; no worker holds it."""
        match state:
            case S.READY:
                self._queue_ready(entry)
            case S.RETRY_WAIT:
                self._queue_retry(entry, now)
            case S.SKIPPED:
                skipped = UnitChanged(entry.unit, state, entry.attempt, "already finished")
                self._emit(skipped)
        if state.is_final:
            self._release_dependants(entry, now)

    def move(
        self,
        entry: UnitEntry,
        state: UnitState,
        now: float,
        *,
        reason: str = "",
        by: str = "policy",
        worker: str = "",
        figures: Figures | None = None,
        failure: Failure | None = None,
        retry_at: float = 0.0,
    ) -> None:
        """Change a unit's state, emit the change and update the queues and counts.

        retry_at: Unix seconds, for RETRY_WAIT. Raises FarmBug if TRANSITIONS does not allow it.
        """
        before = entry.state
        entry.history.append(f"{now:.3f} {before} -> {state} {worker} {reason}".rstrip())
        if (before, state) not in TRANSITIONS:
            what = f"unit {entry.unit.name} cannot change from {before} to {state}"
            raise FarmBug(what, tuple(entry.history))
        self.held += (state in HELD) - (before in HELD)
        self.left -= state.is_final
        entry.waits_for.clear()
        waited = now - entry.since if state is S.LEASED else 0.0
        entry.state, entry.since = state, now
        self._emit(
            UnitChanged(
                entry.unit, state, entry.attempt, reason, by, worker, figures, failure, waited
            )
        )
        if state is S.READY:
            self._queue_ready(entry)
        if state is S.RETRY_WAIT:
            self._queue_retry(entry, retry_at)
        if state.is_final:
            self._release_dependants(entry, now)

    def wake(self, now: float) -> None:
        """Make the units ready whose retry is due."""
        while self._waiting and self._waiting[0][0] <= now:
            entry = self.entries[heappop(self._waiting)[1]]
            self.move(entry, S.READY, now)

    def cancel_waiting(self, now: float, reason: str, by: str) -> None:
        """Cancel every unit that no worker holds and that has not ended."""
        for entry in self.entries:
            if entry.state in (S.BLOCKED, S.READY, S.RETRY_WAIT):
                self.move(entry, S.CANCELLED, now, reason=reason, by=by)
        for heap in self._ready.values():
            heap.clear()
        self._waiting.clear()

    def has_ready(self, role: Role) -> bool:
        """Return whether a unit of this role is ready."""
        return bool(self._ready[role])

    def take_ready(self, role: Role, accept: Callable[[UnitEntry], bool]) -> UnitEntry | None:
        """Remove the first ready unit that accept approves from its queue and return it.

        Lease it at once: until then its state is still ready.
        """
        ready, rejected = self._ready[role], list[int]()
        taken = None
        while ready and taken is None:
            entry = self.entries[heappop(ready)]
            if accept(entry):
                taken = entry
            else:
                rejected.append(entry.number)
        for number in rejected:
            heappush(ready, number)
        return taken

    def missing_needs(self, entry: UnitEntry) -> tuple[str, ...]:
        """Return the names of the units that this one needs and that failed."""
        return tuple(name for name in entry.unit.needs if name in self._missing)

    def _queue_ready(self, entry: UnitEntry) -> None:
        heappush(self._ready[entry.unit.role], entry.number)

    def _queue_retry(self, entry: UnitEntry, due: float) -> None:
        heappush(self._waiting, (due, entry.number))

    def _release_dependants(self, needed: UnitEntry, now: float) -> None:
        """Unblock the units that waited for a unit that ended, or cancel them if it failed."""
        name, is_done = needed.unit.name, needed.state.is_done
        if not is_done:
            self._missing.add(name)
        for entry in self._dependants.get(name, ()):
            if entry.state is not S.BLOCKED:
                continue
            if not is_done and not entry.unit.is_tolerant:
                reason = f"depends on {name}, which was {needed.state}"
                self.move(entry, S.CANCELLED, now, reason=reason)
                continue
            entry.waits_for.discard(name)
            if not entry.waits_for:
                self.move(entry, S.READY, now)

    # Invariants

    def problems(self) -> Iterator[str]:
        """Yield every inconsistency between the units, the queues and the counts."""
        name, states = self.job.id, [entry.state for entry in self.entries]
        if self.held != sum(state in HELD for state in states):
            yield f"{name} miscounts the units that workers hold"
        if self.left != sum(not state.is_final for state in states):
            yield f"{name} miscounts the units that are left"
        if self.job.state.is_final != (self.left == 0):
            yield f"{name} is {self.job.state} with {self.left} units left"
        if self.job.state is JobState.PAUSED and self.held:
            yield f"{name} is paused while workers hold its units"
        ready = [number for heap in self._ready.values() for number in heap]
        if Counter(ready) != Counter(self._numbers(S.READY)):
            yield f"{name} has lost a ready unit"
        if Counter(n for _, n in self._waiting) != Counter(self._numbers(S.RETRY_WAIT)):
            yield f"{name} has lost a unit that waits for its retry"
        if any((entry.state is S.BLOCKED) != bool(entry.waits_for) for entry in self.entries):
            yield f"{name} has a unit that is blocked by nothing, or is not blocked by its needs"

    def _numbers(self, state: UnitState) -> Iterator[int]:
        return (entry.number for entry in self.entries if entry.state is state)


def _entry(restored: RestoredUnit, number: int, now: float) -> UnitEntry:
    failures = Counter(restored.failures)
    return UnitEntry(restored.unit, number, restored.state, now, restored.attempt, failures)


def _link_dependants(entries: list[UnitEntry]) -> dict[str, list[UnitEntry]]:
    """Set waits_for of each blocked unit; return the blocked units by the names they need."""
    names = {entry.unit.name for entry in entries}
    dependants: dict[str, list[UnitEntry]] = {}
    for entry in entries:
        unknown = set(entry.unit.needs) - names
        if unknown:
            needs = ", ".join(unknown)
            raise FarmBug(f"unit {entry.unit.name} needs {needs}, which the job does not contain")
        if entry.state is S.BLOCKED:
            entry.waits_for = set(entry.unit.needs)
            for needed in entry.waits_for:
                dependants.setdefault(needed, []).append(entry)
    return dependants
