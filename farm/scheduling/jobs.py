"""The units of one job: their states, what each waits for, and which can start next.

A job moves its units only along TRANSITIONS and emits every change. It knows neither workers nor
the retry policy: the scheduler decides what happens to a unit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from farm.model.events import Instruction, JobChanged, UnitChanged, UnitsCancelled
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState, Wanted
from farm.model.messages import Failure, Figures, Hold
from farm.model.unit import FINAL, HELD, WAITING, UnitState
from farm.scheduling.census import Census
from farm.scheduling.dependants import Dependants
from farm.scheduling.holds import JobHold
from farm.scheduling.owners import Owner
from farm.scheduling.plugin_faults import PluginFaults
from farm.scheduling.policy import job_order
from farm.scheduling.unit_queues import UnitQueues
from farm.scheduling.units import IN_USE, Lane, UnitEntry, make_entries

S = UnitState

Emit = Callable[[Instruction], None]


class Place(NamedTuple):
    """A job's place among all jobs: the smallest is served first.

    urgency: the negative of its priority. owner_held, held: workers that hold units of its owner's
    jobs, and of its own. since: when it was queued.
    """

    urgency: int
    owner_held: int
    held: int
    since: float
    job: str


class ScheduledJob:
    """A job, its units and the queues they wait in.

    emit: receives each UnitChanged, UnitsCancelled and JobChanged as it happens. lanes: that its units
    wait in, at any time. counts: number of units in each state. held: number of workers that hold its units. owner: whose jobs count together. left: number of units that have not ended.
    frames, failed_frames: number of rendering units, and of those that are quarantined, other than
    for a refused input. wanted: number of workers that its rendering units hold or could use.
    queued_since: when it was created, or last gave workers back that others waited for.
    idle_since: when it last had no worker and began to wait for one. given_up: why the farm will not finish
    the job; empty if it may. plugin_faults: whether its plugin is broken. hold: why it
    starts no units for now. lack: what the farm lacks for it.
    """

    def __init__(
        self,
        job: Job,
        units: Sequence[RestoredUnit],
        now: float,
        emit: Emit,
        *,
        census: Census,
        owner: Owner,
    ) -> None:
        self.job, self.owner = job, owner
        self.entries = make_entries(units, now)
        self.lanes = frozenset(entry.lane for entry in self.entries)
        self.counts = Counter(entry.state for entry in self.entries)
        self.held = sum(self.counts[state] for state in HELD)
        owner.held += self.held
        self.left = sum(count for state, count in self.counts.items() if not state.is_final)
        self.frames = sum(entry.renders for entry in self.entries)
        self.failed_frames = sum(entry.is_failed_frame(entry.state) for entry in self.entries)
        self.wanted = sum(entry.wanted_workers(entry.state) for entry in self.entries)
        self.queued_since, self.idle_since = job.created, now
        self._changed_at = now
        self.given_up = ""
        self.plugin_faults = PluginFaults(has_rendered=any(e.state.is_done for e in self.entries))
        self.hold: JobHold | None = None
        self.lack, self.lacks_workers, self.has_room = "", False, True
        self._emit, self._census = emit, census
        self._is_unsaid = False
        self._alone: UnitEntry | None = None
        self.dependants = Dependants(self.entries)
        self.queues = UnitQueues(self.entries)
        for entry in self.entries:
            entry.holders = int(entry.state in HELD)
            if entry.holders:
                self.queues.hold(entry)
        census.add_job(job.spec.task, job.state, self.entries)

    # The job

    @property
    def order(self) -> Place:
        """The job's place among all jobs."""
        job, owner = self.job, self.owner
        order = job_order(job.spec.priority, owner.held, self.held, self.queued_since)
        return Place(*order, job.id)

    @property
    def is_ending(self) -> bool:
        """Whether no more units of the job will start."""
        return self.job.wanted is Wanted.CANCEL or bool(self.given_up)

    @property
    def waits_for_restart(self) -> bool:
        """Whether no unit of the job can start until the farm restarts."""
        return self.hold is not None and self.hold.kind is Hold.RESTART and not self.held

    @property
    def demand(self) -> int:
        """How many rendering workers its units hold or could use at present."""
        may_start = self.job.wanted is Wanted.RUN and not self.hold
        return self.wanted if may_start else min(self.held, self.wanted)

    def want(self, wanted: Wanted, now: float) -> None:
        """Record what the user wants the job to do."""
        self.job = replace(self.job, wanted=wanted)
        self.idle_since = self._changed_at = now
        self._emit(JobChanged(self.job))

    def prioritise(self, priority: int) -> None:
        """Record another priority."""
        spec = self.job.spec.model_copy(update={"priority": priority})
        self.job = replace(self.job, spec=spec)
        self._emit(JobChanged(self.job))

    def fix_device(self, device: str) -> None:
        """Record the device that all units of the job are rendered on."""
        self.job = replace(self.job, device=device)
        self._is_unsaid = True

    def settle(self) -> None:
        """Update the job's state from its units and from what the user wants."""
        state, reason = self._current_state()
        before = self.job.state
        if self._is_unsaid or state is not before or reason != self.job.reason:
            self._is_unsaid = False
            since = self.job.since if state is before else self._changed_at
            self.job = replace(self.job, state=state, reason=reason, since=since)
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
            return JobState.FAILED, f"{self.given_up}; {self._left_over()}"
        if failed == total:
            return JobState.FAILED, "nothing was finished"
        if failed:
            return JobState.COMPLETED_WITH_FAILURES, f"{failed} of {total} units failed"
        return JobState.COMPLETED, ""

    def _left_over(self) -> str:
        """Return in words what is missing from a job that the farm gave up."""
        total, others = len(self.entries), self.counts[S.CANCELLED]
        if not (failed := self.counts[S.QUARANTINED]):
            return f"{others} of {total} units not finished"
        return f"{failed} of {total} units failed{f', {others} not tried' if others else ''}"

    def _unfinished_state(self) -> tuple[JobState, str]:
        if self.job.wanted is Wanted.PAUSE and not self.held:
            return JobState.PAUSED, "paused"
        if self.hold and not self.is_ending:
            return JobState.PAUSED, self.hold.reason
        has_started = self.held or self.left < len(self.entries)
        is_running = has_started or self.job.state is JobState.RUNNING
        return (JobState.RUNNING if is_running else JobState.QUEUED), self.lack

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
                self.queues.add_waiting(entry, now)
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
        workers: tuple[str, ...] = (),
        figures: Figures | None = None,
        failure: Failure | None = None,
        retry_at: float = 0.0,
        crashes: int | None = None,
    ) -> None:
        """Change a unit's state, emit the change and update the queues and counts.

        workers: that get the unit; the first of them is worker. retry_at: Unix seconds, for RETRY_WAIT.
        crashes: as in UnitChanged. Raises FarmBug if TRANSITIONS does not allow it.
        """
        since, worker, self._changed_at = entry.since, workers[0] if workers else worker, now
        before = entry.enter(state, now, worker, reason)
        self._count(entry, before, state, now)
        waited = now - since if state is S.LEASED else 0.0
        self._emit(
            UnitChanged(
                entry.unit,
                state,
                entry.attempt,
                reason,
                by,
                worker,
                figures,
                failure,
                waited,
                workers,
                crashes,
            )
        )
        if state is S.READY:
            self._queue_ready(entry)
        elif state is S.RETRY_WAIT:
            self.queues.add_waiting(entry, retry_at)
        elif state in FINAL:
            self._release_dependants(entry, now)

    def lease(self, entry: UnitEntry, workers: tuple[str, ...], now: float) -> None:
        """Let workers hold a unit. The first one will report."""
        entry.holders = len(workers)
        self.move(entry, S.LEASED, now, workers=workers)

    def _count(self, entry: UnitEntry, before: UnitState, state: UnitState, now: float) -> None:
        self.counts[before] -= 1
        self.counts[state] += 1
        self._census.change_units(self.job.spec.task, before, state)
        was_held, is_held = before in HELD, state in HELD
        if was_held and is_held:
            return
        self.left += (before in FINAL) - (state in FINAL)
        if before is S.QUARANTINED or state is S.QUARANTINED:
            self.failed_frames += entry.is_failed_frame(state) - entry.is_failed_frame(before)
        if (before in IN_USE) is not (state in IN_USE):
            self.wanted += entry.wanted_workers(state) - entry.wanted_workers(before)
        if is_held:
            self._hold(entry.holders)
            self.queues.hold(entry)
        elif was_held:
            self._hold(-entry.holders)
            entry.holders = 0
            self.queues.let_go(entry)
            if not self.held:
                self.idle_since = now
        if entry.runs_alone:
            self._alone = entry if is_held else None

    def _hold(self, workers: int) -> None:
        self.held += workers
        self.owner.held += workers

    def wake(self, now: float) -> None:
        """Make the units ready whose retry is due."""
        for entry in self.queues.due(now):
            self.move(entry, S.READY, now)

    def cancel_waiting(self, now: float, reason: str, by: str) -> None:
        """Cancel every unit that no worker holds and that has not ended, all as one change."""
        waiting = [entry for entry in self.entries if entry.state in WAITING]
        if not waiting:
            return
        self._changed_at = now
        self._count_cancelled(waiting)
        for entry in waiting:
            entry.enter(S.CANCELLED, now, why=reason)
            self.dependants.note_end(entry)
        self.queues.clear()
        units = tuple(entry.unit for entry in waiting)
        attempts = tuple(entry.attempt for entry in waiting)
        self._emit(UnitsCancelled(self.job.id, units, attempts, reason, by))

    def _count_cancelled(self, waiting: Sequence[UnitEntry]) -> None:
        """Count units that wait as cancelled."""
        for before, count in Counter(entry.state for entry in waiting).items():
            self.counts[before] -= count
            self.counts[S.CANCELLED] += count
            self._census.change_units(self.job.spec.task, before, S.CANCELLED, count)
        self.left -= len(waiting)
        self.wanted -= sum(entry.wanted_workers(entry.state) for entry in waiting)

    def can_start(self, lane: Lane) -> bool:
        """Return whether a unit of this lane may start now, for any thread."""
        ready = self.queues.ready(lane)
        if not ready or self.job.wanted is not Wanted.RUN or self._alone:
            return False
        if (hold := self.hold) and not hold.may_start:
            return False
        if lane is Lane.SHARED and not self.has_room:
            return False
        first = ready.first() if self.held else None
        return not (first and first.runs_alone)

    def take_ready(
        self, lane: Lane, near: int, accept: Callable[[UnitEntry], bool]
    ) -> UnitEntry | None:
        """Remove the unit that a worker gets from its queue and return it; see ReadyUnits.take.

        Lease it at once: until then its state is still ready.
        """

        def may_start(entry: UnitEntry) -> bool:
            return accept(entry) and not (self.held and entry.runs_alone)

        return self.queues.take(lane, near, may_start)

    def goes_on(self, stretch: int) -> bool:
        """Return whether another frame of a stretch may start."""
        return self.queues.ready(Lane.RENDER).goes_on(stretch)

    def first_shared(self) -> UnitEntry | None:
        """Return the ready unit that several workers share and that starts next, for any thread."""
        hold = self.hold
        return self.queues.ready(Lane.SHARED).first(hold.cause if hold else None)

    def ready(self, lane: Lane) -> Iterator[UnitEntry]:
        """Yield the units that may start next, as take_ready would, in no order."""
        return (entry for entry in self.queues.ready(lane) if not (self.held and entry.runs_alone))

    def missing_needs(self, entry: UnitEntry) -> tuple[str, ...]:
        """Return the names of the units that this one needs and that failed."""
        return self.dependants.missing_needs(entry)

    def _queue_ready(self, entry: UnitEntry) -> None:
        self.queues.add_ready(entry)
        self._census.add_ready(self.job.spec.task, entry)

    def _release_dependants(self, ended: UnitEntry, now: float) -> None:
        """Unblock the units that waited for a unit that ended, or cancel them if it failed.

        A cancelled unit is followed at once by those that waited for it. This needs a stack of its
        own, since a chain may be longer than Python's.
        """
        chain = [(ended, self.dependants.after(ended))]
        while chain:
            needed, waiting = chain[-1]
            entry = next(waiting, None)
            if entry is None:
                chain.pop()
            elif entry.state is not S.BLOCKED:
                continue
            elif not needed.state.is_done and not entry.unit.is_tolerant:
                self._cancel_dependant(entry, needed, now)
                chain.append((entry, self.dependants.after(entry)))
            else:
                entry.waits_for -= 1
                if not entry.waits_for:
                    self.move(entry, S.READY, now)

    def _cancel_dependant(self, entry: UnitEntry, needed: UnitEntry, now: float) -> None:
        how = "failed" if needed.state is S.QUARANTINED else "was cancelled"
        reason = f"depends on {needed.unit.name}, which {how}"
        self._count(entry, entry.enter(S.CANCELLED, now, why=reason), S.CANCELLED, now)
        entry.waits_for = 0
        self._emit(UnitChanged(entry.unit, S.CANCELLED, entry.attempt, reason))

    # Invariants

    def problems(self) -> Iterator[str]:
        """Yield every inconsistency between the units, the queues and the counts."""
        name, states = self.job.id, Counter(entry.state for entry in self.entries)
        if +self.counts != states:
            yield f"{name} miscounts its units"
        if self.held != sum(entry.holders for entry in self.entries):
            yield f"{name} miscounts the workers that hold its units"
        if self.left != sum(states[state] for state in UnitState if not state.is_final):
            yield f"{name} miscounts the units that are left"
        if self.failed_frames != sum(entry.is_failed_frame(entry.state) for entry in self.entries):
            yield f"{name} miscounts the frames that failed"
        if self.wanted != sum(entry.wanted_workers(entry.state) for entry in self.entries):
            yield f"{name} miscounts the workers that it could use"
        if self.job.state.is_final != (self.left == 0):
            yield f"{name} is {self.job.state} with {self.left} units left"
        if self.job.state is JobState.PAUSED and self.held and not self.hold:
            yield f"{name} is paused while workers hold its units"
        yield from self._problems_of_the_queues()

    def _problems_of_the_queues(self) -> Iterator[str]:
        name = self.job.id
        yield from (f"{name} {problem}" for problem in self.queues.problems())
        if any((e.state in HELD) != bool(e.holders) for e in self.entries):
            yield f"{name} has a unit that nobody holds, or that is held and is not"
        blocked = (entry for entry in self.entries if entry.state is S.BLOCKED)
        if any(not e.waits_for or e.waits_for != self.dependants.unended(e) for e in blocked):
            yield f"{name} has a unit that is not blocked by what it needs"
        alone = [entry for entry in self.entries if entry.runs_alone and entry.state in HELD]
        held = sum(self.counts[state] for state in HELD)
        if alone != ([self._alone] if self._alone else []) or (alone and held > 1):
            yield f"{name} runs other units beside one that may kill the farm"
        probe = self.hold.probe if self.hold else None
        if probe and probe.state not in HELD:
            yield f"{name} waits for a probe that has ended"
