"""The units of one job: their states, what each waits for, and which can start next.

A job moves its units only along TRANSITIONS and emits every change. It knows neither workers nor
the retry policy: the scheduler decides what happens to a unit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from heapq import heappop, heappush

from farm.model.events import Instruction, JobChanged, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState, Wanted
from farm.model.messages import Failure, Figures, Hold, Reason
from farm.model.unit import HELD, Role, UnitState
from farm.scheduling.census import Census
from farm.scheduling.holds import JobHold
from farm.scheduling.policy import job_order
from farm.scheduling.units import UnitEntry, link_dependants, make_entries

S = UnitState

Emit = Callable[[Instruction], None]


class ScheduledJob:
    """A job, its units and the queues they wait in.

    emit: receives each UnitChanged and JobChanged as it happens. counts: number of units in each
    state. held: number of units that workers hold. left: number of units that have not ended.
    frames, failed_frames: number of rendering units, and of those that are quarantined, other than
    for a refused input. given_up: why the farm will not finish the job; empty if it may. hold: why
    it starts no units for now.
    """

    def __init__(
        self, job: Job, units: Sequence[RestoredUnit], now: float, emit: Emit, census: Census
    ) -> None:
        self.job = job
        self.entries = make_entries(units, now)
        self.counts = Counter(entry.state for entry in self.entries)
        self.held = sum(self.counts[state] for state in HELD)
        self.left = sum(count for state, count in self.counts.items() if not state.is_final)
        self.frames = sum(entry.unit.role is Role.RENDER for entry in self.entries)
        self.failed_frames = sum(_is_failed_frame(entry) for entry in self.entries)
        self.given_up = ""
        self.hold: JobHold | None = None
        self._emit, self._census = emit, census
        self._is_unsaid = False
        self._alone: UnitEntry | None = None
        self._dependants = link_dependants(self.entries)
        self._missing: set[str] = set()
        self._ready: dict[Role, list[tuple[int, int]]] = {role: [] for role in Role}
        self._waiting: list[tuple[float, int]] = []
        census.add_job(job.state, self.entries)

    # The job

    @property
    def order(self) -> tuple[int, int, float, str]:
        """The job's place among all jobs: the smallest is served first."""
        return (*job_order(self.job.spec.priority, self.held, self.job.created), self.job.id)

    @property
    def is_ending(self) -> bool:
        """Whether no more units of the job will start."""
        return self.job.wanted is Wanted.CANCEL or bool(self.given_up)

    @property
    def waits_for_restart(self) -> bool:
        """Whether no unit of the job can start until the farm restarts."""
        return self.hold is not None and self.hold.kind is Hold.RESTART and not self.held

    def want(self, wanted: Wanted) -> None:
        """Record what the user wants the job to do."""
        self.job = replace(self.job, wanted=wanted)
        self._emit(JobChanged(self.job))

    def fix_device(self, device: str) -> None:
        """Record the device that all units of the job are rendered on."""
        self.job = replace(self.job, device=device)
        self._is_unsaid = True

    def settle(self) -> None:
        """Update the job's state from its units and from what the user wants."""
        state, reason = self._current_state()
        before = self.job.state
        if self._is_unsaid or (state, reason) != (before, self.job.reason):
            self._is_unsaid = False
            self.job = replace(self.job, state=state, reason=reason)
            self._census.change_job(before, state)
            self._emit(JobChanged(self.job))

    def _current_state(self) -> tuple[JobState, str]:
        """Return the job's state and the reason for it."""
        if self.left:
            return self._unfinished_state()
        total, failed = len(self.entries), self.counts[S.QUARANTINED] + self.counts[S.CANCELLED]
        if self.job.wanted is Wanted.CANCEL:
            return JobState.CANCELLED, "cancelled"
        if self.given_up:
            return JobState.FAILED, f"{self.given_up}; {failed} of {total} units not finished"
        if failed == total:
            return JobState.FAILED, "nothing was finished"
        return JobState.COMPLETED, f"{failed} of {total} failed" if failed else ""

    def _unfinished_state(self) -> tuple[JobState, str]:
        if self.job.wanted is Wanted.PAUSE and not self.held:
            return JobState.PAUSED, "paused"
        if self.hold and not self.is_ending:
            return JobState.PAUSED, self.hold.reason
        has_started = self.held or self.left < len(self.entries)
        is_running = has_started or self.job.state is JobState.RUNNING
        return (JobState.RUNNING if is_running else JobState.QUEUED), ""

    def end_hold_for_storage(self) -> None:
        """Let the job go on if it waited for storage: a unit has been written."""
        if self.hold and self.hold.kind is Hold.STORAGE:
            self.hold = None

    def drop_probe(self, entry: UnitEntry) -> None:
        """Let another unit be the probe of the job's hold, if this one was."""
        if self.hold and self.hold.probe is entry:
            self.hold.probe = None

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
        since = entry.since
        before = entry.enter(state, now, f"{worker} {reason}")
        self._count(entry, before, state)
        waited = now - since if state is S.LEASED else 0.0
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

    def _count(self, entry: UnitEntry, before: UnitState, state: UnitState) -> None:
        self.counts[before] -= 1
        self.counts[state] += 1
        self._census.change_unit(before, state)
        self.held += (state in HELD) - (before in HELD)
        self.left -= state.is_final
        self.failed_frames += _is_failed_frame(entry)
        if entry.runs_alone:
            self._alone = entry if state in HELD else None

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

    def can_start(self, role: Role) -> bool:
        """Return whether a unit of this role may start now."""
        if not self._ready[role] or self.job.wanted is not Wanted.RUN or self._alone:
            return False
        if self.hold and not self.hold.may_start:
            return False
        _, number = self._ready[role][0]
        return not (self.held and self.entries[number].runs_alone)

    def take_ready(self, role: Role, accept: Callable[[UnitEntry], bool]) -> UnitEntry | None:
        """Remove the first ready unit that accept approves from its queue and return it.

        Lease it at once: until then its state is still ready. Units that were running when farms
        died come last.
        """
        ready, rejected = self._ready[role], list[tuple[int, int]]()
        taken = None
        while ready and taken is None:
            place = heappop(ready)
            entry = self.entries[place[1]]
            if accept(entry) and not (self.held and entry.runs_alone):
                taken = entry
            else:
                rejected.append(place)
        for place in rejected:
            heappush(ready, place)
        return taken

    def ready(self, role: Role) -> Iterator[UnitEntry]:
        """Yield the units that may start next, as take_ready would, in no order."""
        entries = (self.entries[number] for _, number in self._ready[role])
        return (entry for entry in entries if not (self.held and entry.runs_alone))

    def missing_needs(self, entry: UnitEntry) -> tuple[str, ...]:
        """Return the names of the units that this one needs and that failed."""
        return tuple(name for name in entry.unit.needs if name in self._missing)

    def _queue_ready(self, entry: UnitEntry) -> None:
        heappush(self._ready[entry.unit.role], (entry.crashes, entry.number))
        self._census.add_ready(entry)

    def _queue_retry(self, entry: UnitEntry, due: float) -> None:
        heappush(self._waiting, (due, entry.number))

    def _release_dependants(self, ended: UnitEntry, now: float) -> None:
        """Unblock the units that waited for a unit that ended, or cancel them if it failed.

        A cancelled unit is followed at once by those that waited for it. This needs a stack of its
        own, since a chain may be longer than Python's.
        """
        chain = [(ended, self._waiting_for(ended))]
        while chain:
            needed, waiting = chain[-1]
            entry = next(waiting, None)
            if entry is None:
                chain.pop()
            elif entry.state is not S.BLOCKED:
                continue
            elif not needed.state.is_done and not entry.unit.is_tolerant:
                self._cancel_dependant(entry, needed, now)
                chain.append((entry, self._waiting_for(entry)))
            else:
                entry.waits_for.discard(needed.unit.name)
                if not entry.waits_for:
                    self.move(entry, S.READY, now)

    def _waiting_for(self, ended: UnitEntry) -> Iterator[UnitEntry]:
        """Return the units that waited for one that has ended, and note if it failed."""
        if not ended.state.is_done:
            self._missing.add(ended.unit.name)
        return iter(self._dependants.get(ended.unit.name, ()))

    def _cancel_dependant(self, entry: UnitEntry, needed: UnitEntry, now: float) -> None:
        reason = f"depends on {needed.unit.name}, which was {needed.state}"
        self._count(entry, entry.enter(S.CANCELLED, now, reason), S.CANCELLED)
        self._emit(UnitChanged(entry.unit, S.CANCELLED, entry.attempt, reason))

    # Invariants

    def problems(self) -> Iterator[str]:
        """Yield every inconsistency between the units, the queues and the counts."""
        name, states = self.job.id, Counter(entry.state for entry in self.entries)
        if +self.counts != states:
            yield f"{name} miscounts its units"
        if self.held != sum(states[state] for state in HELD):
            yield f"{name} miscounts the units that workers hold"
        if self.left != sum(states[state] for state in UnitState if not state.is_final):
            yield f"{name} miscounts the units that are left"
        if self.failed_frames != sum(_is_failed_frame(entry) for entry in self.entries):
            yield f"{name} miscounts the frames that failed"
        if self.job.state.is_final != (self.left == 0):
            yield f"{name} is {self.job.state} with {self.left} units left"
        if self.job.state is JobState.PAUSED and self.held and not self.hold:
            yield f"{name} is paused while workers hold its units"
        yield from self._problems_of_the_queues()

    def _problems_of_the_queues(self) -> Iterator[str]:
        name = self.job.id
        ready = [number for heap in self._ready.values() for _, number in heap]
        if Counter(ready) != Counter(self._numbers(S.READY)):
            yield f"{name} has lost a ready unit"
        if Counter(n for _, n in self._waiting) != Counter(self._numbers(S.RETRY_WAIT)):
            yield f"{name} has lost a unit that waits for its retry"
        if any((entry.state is S.BLOCKED) != bool(entry.waits_for) for entry in self.entries):
            yield f"{name} has a unit that is blocked by nothing, or is not blocked by its needs"
        alone = [entry for entry in self.entries if entry.runs_alone and entry.state in HELD]
        if alone != ([self._alone] if self._alone else []) or (alone and self.held > 1):
            yield f"{name} runs other units beside one that may kill the farm"
        probe = self.hold.probe if self.hold else None
        if probe and probe.state not in HELD:
            yield f"{name} waits for a probe that has ended"

    def _numbers(self, state: UnitState) -> Iterator[int]:
        return (entry.number for entry in self.entries if entry.state is state)


def _is_failed_frame(entry: UnitEntry) -> bool:
    """Return whether a rendering unit failed, and not because its own input was refused."""
    is_refused = entry.failures[Reason.USER_ERROR] > 0
    return entry.state is S.QUARANTINED and entry.unit.role is Role.RENDER and not is_refused
