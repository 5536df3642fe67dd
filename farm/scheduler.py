"""Who does what next: events in, instructions out. Pure: no I/O, no clock, no threads.

    blocked ─► ready ─► leased ─► running ─► succeeded
      │          ▲        │          ├─────► retry_wait ─► ready
      │          │        │          ├─────► quarantined     tries spent, or nothing can help
      │          └────────┴──────────┤       worker asked to stop, or lost with tries left
      ▼                              ▼
    cancelled ◄──────────────── cancelled    by a person, or what it needs failed

``skipped`` is where a resumed job's finished units begin. A unit is held under a lease: a
token that every report must name. A report with another token is stale: counted, dropped.
What each failure costs is policy's to say; the scheduler counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush

from farm.errors import FarmBug
from farm.executor import (
    Failure,
    Figures,
    Message,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.job import Job, JobState, Unit, UnitState, Wanted
from farm.policy import Policy

S = UnitState

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
            for held in (S.LEASED, S.RUNNING)
            for end in (S.READY, S.RETRY_WAIT, S.SUCCEEDED, S.QUARANTINED, S.CANCELLED)
        ),
    }
)
"""Every change of state that a unit may make."""

HELD = (S.LEASED, S.RUNNING)


@dataclass(frozen=True)
class JobSubmitted:
    """A job enters, new or from the ledger. states: those of its units, in their order."""

    job: Job
    units: tuple[Unit, ...]
    states: tuple[UnitState, ...]


@dataclass(frozen=True)
class WantedChanged:
    """A person wants a job to run, pause or end."""

    job: str
    wanted: Wanted


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Stopping:
    """The farm ends: what runs is asked to stop, nothing new is placed."""


Event = JobSubmitted | WantedChanged | Tick | Stopping | Message


@dataclass(frozen=True)
class UnitChanged:
    """Store and tell: a unit is in a new state. by: who decided it.

    failure: of the attempt that ended, if it failed. waited: seconds ready before this lease.
    """

    unit: Unit
    state: UnitState
    attempt: int
    reason: str = ""
    by: str = "policy"
    worker: str = ""
    figures: Figures | None = None
    failure: Failure | None = None
    waited: float = 0.0


@dataclass(frozen=True)
class JobChanged:
    """Store and tell: a job is in a new state, or something else is wanted of it."""

    job: Job


@dataclass(frozen=True)
class Progressed:
    """Tell: a running unit came so far. Not stored."""

    unit: Unit
    progress: UnitProgress


@dataclass(frozen=True)
class WorkerChanged:
    """Tell: a worker is idle, busy or gone. held_seconds: of the lease that ended, if one did."""

    worker: str
    kind: str
    state: str
    reason: str = ""
    held_seconds: float = 0.0


@dataclass(frozen=True)
class StaleReport:
    """Tell: a report under a lease that is no more was dropped."""

    worker: str
    token: str


@dataclass(frozen=True)
class Assign:
    """Act: hand the order to the worker."""

    worker: str
    order: Order


@dataclass(frozen=True)
class CancelWork:
    """Act: ask the worker to stop its unit."""

    worker: str


@dataclass(frozen=True)
class KillWorker:
    """Act: end the worker, it has not said a word for too long."""

    worker: str


News = UnitChanged | JobChanged | Progressed | WorkerChanged | StaleReport
Instruction = News | Assign | CancelWork | KillWorker


@dataclass
class _Held:
    """A lease."""

    entry: "_Entry"
    token: str
    since: float
    heard: float


@dataclass
class _Worker:
    name: str
    kind: str
    held: _Held | None = None
    is_cancelling: bool = False


@dataclass
class _Entry:
    """A unit with what has happened to it."""

    unit: Unit
    number: int
    state: UnitState
    since: float
    attempt: int = 0
    failures: Counter[Reason] = field(default_factory=Counter)
    tried_on: set[str] = field(default_factory=set)
    story: list[str] = field(default_factory=list)


@dataclass
class _JobEntry:
    """A job with its units. ready: heap of unit numbers."""

    job: Job
    units: dict[str, _Entry]
    order: list[_Entry]
    ready: list[int] = field(default_factory=list)
    waiting: list[tuple[float, int]] = field(default_factory=list)
    held: int = 0
    left: int = 0
    blocked: int = 0


class Scheduler:
    """The state of all jobs, units and workers, changed through handle alone.

    generation: names this run of the farm, so that leases of an earlier one are stale.
    """

    def __init__(self, policy: Policy, generation: str) -> None:
        self._policy, self._generation = policy, generation
        self._jobs: dict[str, _JobEntry] = {}
        self._workers: dict[str, _Worker] = {}
        self._strikes: dict[tuple[str, str], tuple[int, float]] = {}
        self._leases = 0
        self._no_workers_since: float | None = None
        self._is_stopping = False
        self._out: list[Instruction] = []

    # What is known

    @property
    def is_done(self) -> bool:
        """True when every job is in a final state."""
        return all(entry.job.state.is_final for entry in self._jobs.values())

    @property
    def is_quiet(self) -> bool:
        """True when no worker holds a unit."""
        return all(worker.held is None for worker in self._workers.values())

    def job(self, job: str) -> Job:
        """Return a job as it is now."""
        return self._jobs[job].job

    def unit_counts(self) -> Counter[UnitState]:
        """Return how many units are in each state."""
        return Counter(e.state for job in self._jobs.values() for e in job.order)

    def job_counts(self) -> Counter[JobState]:
        """Return how many jobs are in each state."""
        return Counter(job.job.state for job in self._jobs.values())

    def worker_counts(self) -> Counter[str]:
        """Return how many workers are idle and busy."""
        return Counter("busy" if w.held else "idle" for w in self._workers.values())

    def oldest_ready(self) -> float | None:
        """Return since when the unit has waited that has waited longest."""
        ready = (e.since for j in self._jobs.values() for e in j.order if e.state is S.READY)
        return min(ready, default=None)

    # The one door

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and return what to store, do and tell, in this order of happening."""
        self._out = []
        match event:
            case JobSubmitted():
                self._submit(event, now)
            case WantedChanged():
                self._want(event, now)
            case WorkerJoined():
                self._join(event)
            case WorkerLost():
                self._lose(event, now)
            case UnitStarted() | UnitProgress() | UnitSucceeded() | UnitFailed() | UnitCancelled():
                self._report(event, now)
            case Stopping():
                self._stop()
            case Tick():
                self._check_silence(now)
                self._check_no_workers(now)
        self._wake(now)
        self._place(now)
        return self._out

    # Jobs

    def _submit(self, event: JobSubmitted, now: float) -> None:
        order = [
            _Entry(unit, number, state, now)
            for number, (unit, state) in enumerate(zip(event.units, event.states, strict=True))
        ]
        entry = _JobEntry(event.job, {e.unit.name: e for e in order}, order)
        entry.left = sum(not e.state.is_final for e in order)
        entry.blocked = sum(e.state is S.BLOCKED for e in order)
        entry.ready = [e.number for e in order if e.state is S.READY]
        heapify(entry.ready)
        self._jobs[event.job.id] = entry
        if event.job.wanted is Wanted.CANCEL:
            self._cancel_all(entry, now)
        self._release(entry, now)

    def _want(self, event: WantedChanged, now: float) -> None:
        entry = self._jobs[event.job]
        if entry.job.state.is_final:
            return
        entry.job = replace(entry.job, wanted=event.wanted)
        self._out.append(JobChanged(entry.job))
        if event.wanted is Wanted.CANCEL:
            self._cancel_all(entry, now)
        self._settle(entry)

    def _cancel_all(self, entry: _JobEntry, now: float) -> None:
        for unit in entry.order:
            if unit.state in (S.BLOCKED, S.READY, S.RETRY_WAIT):
                self._move(unit, S.CANCELLED, now, reason="cancelled", by="user")
        entry.ready.clear()
        entry.waiting.clear()
        for worker in self._workers.values():
            if worker.held and worker.held.entry.unit.job == entry.job.id:
                self._ask_to_stop(worker)

    def _settle(self, entry: _JobEntry) -> None:
        """Give the job the state that its units and what is wanted of it make."""
        state, reason = self._state_of(entry)
        if state is not entry.job.state:
            entry.job = replace(entry.job, state=state, reason=reason)
            self._out.append(JobChanged(entry.job))

    def _state_of(self, entry: _JobEntry) -> tuple[JobState, str]:
        if entry.left:
            if entry.job.wanted is Wanted.PAUSE and not entry.held:
                return JobState.PAUSED, "paused"
            started = entry.held or entry.left < len(entry.order)
            return (JobState.RUNNING if started else JobState.QUEUED), ""
        counts = Counter(e.state for e in entry.order)
        if entry.job.wanted is Wanted.CANCEL:
            return JobState.CANCELLED, "cancelled"
        if not counts[S.SUCCEEDED] + counts[S.SKIPPED]:
            return JobState.FAILED, entry.job.reason or "no unit succeeded"
        failed = counts[S.QUARANTINED] + counts[S.CANCELLED]
        return JobState.COMPLETED, f"{failed} of {len(entry.order)} failed" if failed else ""

    # Workers

    def _join(self, event: WorkerJoined) -> None:
        if event.worker in self._workers:
            raise FarmBug(f"worker {event.worker} joined twice")
        self._workers[event.worker] = _Worker(event.worker, event.kind)
        self._no_workers_since = None
        self._out.append(WorkerChanged(event.worker, event.kind, "idle"))

    def _lose(self, event: WorkerLost, now: float) -> None:
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            return
        held = now - worker.held.since if worker.held else 0.0
        self._out.append(
            WorkerChanged(worker.name, worker.kind, "gone", event.reason, held_seconds=held)
        )
        if worker.held:
            failure = Failure(Reason.WORKER_DIED, f"worker {worker.name} died: {event.reason}")
            self._end_failed(worker, worker.held.entry, failure, now)
        if not self._workers:
            self._no_workers_since = now

    def _check_no_workers(self, now: float) -> None:
        if self._workers or self.is_done:
            return
        since = self._no_workers_since = self._no_workers_since or now
        if now - since < self._policy.no_workers_seconds:
            return
        for entry in self._jobs.values():
            if entry.job.state.is_final:
                continue
            reason = f"no workers for {self._policy.no_workers_seconds:.0f} s; see `farm doctor`"
            entry.job = replace(entry.job, reason=reason)
            self._cancel_all(entry, now)
            self._settle(entry)

    def _check_silence(self, now: float) -> None:
        for worker in self._workers.values():
            if worker.held and now - worker.held.heard >= self._policy.silence_seconds:
                worker.held.heard = now
                self._out.append(KillWorker(worker.name))

    def _stop(self) -> None:
        self._is_stopping = True
        for worker in self._workers.values():
            if worker.held:
                self._ask_to_stop(worker)

    def _ask_to_stop(self, worker: _Worker) -> None:
        if not worker.is_cancelling:
            worker.is_cancelling = True
            self._out.append(CancelWork(worker.name))

    # Reports

    def _report(
        self,
        event: UnitStarted | UnitProgress | UnitSucceeded | UnitFailed | UnitCancelled,
        now: float,
    ) -> None:
        worker = self._workers.get(event.worker)
        if worker is None or worker.held is None or worker.held.token != event.token:
            self._out.append(StaleReport(event.worker, event.token))
            return
        worker.held.heard = now
        entry = worker.held.entry
        match event:
            case UnitStarted():
                self._move(entry, S.RUNNING, now, worker=worker.name)
            case UnitProgress():
                self._out.append(Progressed(entry.unit, event))
            case UnitSucceeded():
                self._end_succeeded(worker, entry, event.figures, now)
            case UnitFailed():
                self._free(worker, now)
                self._end_failed(worker, entry, event.failure, now)
            case UnitCancelled():
                self._end_cancelled(worker, entry, now)

    def _end_succeeded(self, worker: _Worker, entry: _Entry, figures: Figures, now: float) -> None:
        job = self._jobs[entry.unit.job]
        self._strikes.pop((job.job.id, worker.name), None)
        self._move(entry, S.SUCCEEDED, now, worker=worker.name, figures=figures)
        self._free(worker, now)
        self._release(job, now)

    def _end_cancelled(self, worker: _Worker, entry: _Entry, now: float) -> None:
        job = self._jobs[entry.unit.job]
        if job.job.wanted is Wanted.CANCEL:
            self._move(entry, S.CANCELLED, now, reason="cancelled", by="user")
        else:
            self._move(entry, S.READY, now, reason="stopped", by="user")
        self._free(worker, now)
        self._release(job, now)

    def _end_failed(self, worker: _Worker, entry: _Entry, failure: Failure, now: float) -> None:
        """Spend one of the unit's tries. The worker is free, or gone, by now."""
        job = self._jobs[entry.unit.job]
        reason = failure.reason
        entry.failures[reason] += 1
        entry.tried_on.add(worker.name)
        self._strike(job, worker, failure, now)
        told = {"reason": failure.message, "worker": worker.name, "failure": failure}
        if job.job.wanted is Wanted.CANCEL:
            self._move(entry, S.CANCELLED, now, reason="cancelled", by="user", failure=failure)
        elif failure.is_fatal or self._policy.is_spent(reason, entry.failures[reason]):
            self._move(entry, S.QUARANTINED, now, **self._verdict(entry, told))
        else:
            self._move(entry, S.RETRY_WAIT, now, **told)
            due = now + self._policy.delay(reason, entry.failures[reason])
            heappush(job.waiting, (due, entry.number))
        self._release(job, now)

    def _verdict(self, entry: _Entry, told: dict[str, object]) -> dict[str, object]:
        deaths = entry.failures[Reason.WORKER_DIED]
        if deaths > 1:
            return {**told, "reason": f"killed {deaths} workers; the last: {told['reason']}"}
        return told

    def _strike(self, job: _JobEntry, worker: _Worker, failure: Failure, now: float) -> None:
        if failure.is_fatal or failure.reason is Reason.WORKER_DIED:
            return
        key = (job.job.id, worker.name)
        self._strikes[key] = (self._strikes.get(key, (0, 0.0))[0] + 1, now)

    def _free(self, worker: _Worker, now: float) -> None:
        assert worker.held is not None
        held = now - worker.held.since
        worker.held, worker.is_cancelling = None, False
        self._out.append(WorkerChanged(worker.name, worker.kind, "idle", held_seconds=held))

    def _release(self, job: _JobEntry, now: float) -> None:
        """Let go of what waited for a unit that ended, and settle the job."""
        if job.blocked:
            for unit in job.order:
                if unit.state is S.BLOCKED:
                    self._unblock(job, unit, now)
        self._settle(job)

    def _unblock(self, job: _JobEntry, entry: _Entry, now: float) -> None:
        needed = [job.units[name] for name in entry.unit.needs]
        lost = [n.unit.name for n in needed if n.state.is_final and not n.state.is_done]
        if lost:
            reason = f"it needs {', '.join(lost)}, which failed"
            self._move(entry, S.CANCELLED, now, reason=reason)
        elif all(n.state.is_done for n in needed):
            self._move(entry, S.READY, now)

    def _move(self, entry: _Entry, state: UnitState, now: float, **told: object) -> None:
        """Change a unit's state, by the table only, and keep the job's books."""
        entry.story.append(f"{now:.3f} {entry.state} -> {state} {told.get('reason', '')}".rstrip())
        if (entry.state, state) not in TRANSITIONS:
            raise FarmBug(f"unit {entry.unit.name} cannot go that way", tuple(entry.story))
        job = self._jobs[entry.unit.job]
        job.held += (state in HELD) - (entry.state in HELD)
        job.left -= state.is_final
        job.blocked -= entry.state is S.BLOCKED
        waited = now - entry.since if state is S.LEASED else 0.0
        if state is S.READY:
            heappush(job.ready, entry.number)
        entry.state, entry.since = state, now
        self._out.append(
            UnitChanged(entry.unit, state, entry.attempt, waited=waited, **told)  # type: ignore[arg-type]
        )

    # Placement

    def _wake(self, now: float) -> None:
        for job in self._jobs.values():
            while job.waiting and job.waiting[0][0] <= now:
                entry = job.order[heappop(job.waiting)[1]]
                self._move(entry, S.READY, now)

    def _place(self, now: float) -> None:
        if self._is_stopping:
            return
        for worker in [w for w in self._workers.values() if w.held is None]:
            for job in self._jobs_by_turn():
                entry = self._take(job, worker, now)
                if entry is not None:
                    self._lease(worker, job, entry, now)
                    break

    def _jobs_by_turn(self) -> list[_JobEntry]:
        """Return jobs with something ready: priority, then fairness, then age."""
        willing = (j for j in self._jobs.values() if j.ready and j.job.wanted is Wanted.RUN)
        return sorted(
            willing, key=lambda j: (-j.job.spec.priority, j.held, j.job.created, j.job.id)
        )

    def _take(self, job: _JobEntry, worker: _Worker, now: float) -> _Entry | None:
        """Take the first ready unit that this worker may have."""
        if self._is_struck_off(job, worker, now):
            return None
        passed = []
        found = None
        while job.ready and found is None:
            entry = job.order[heappop(job.ready)]
            if entry.state is not S.READY:
                continue
            if self._is_for_another(entry, worker):
                passed.append(entry.number)
            else:
                found = entry
        for number in passed:
            heappush(job.ready, number)
        return found

    def _is_struck_off(self, job: _JobEntry, worker: _Worker, now: float) -> bool:
        """Say whether the blocklist holds this worker; it never holds all of them."""

        def blocked(name: str) -> bool:
            failures, last = self._strikes.get((job.job.id, name), (0, 0.0))
            return self._policy.is_blocked(failures, now - last)

        return blocked(worker.name) and not all(blocked(name) for name in self._workers)

    def _is_for_another(self, entry: _Entry, worker: _Worker) -> bool:
        """Say whether a worker that has not failed at this unit is here to try it."""
        return worker.name in entry.tried_on and any(
            name not in entry.tried_on for name in self._workers
        )

    def _lease(self, worker: _Worker, job: _JobEntry, entry: _Entry, now: float) -> None:
        self._leases += 1
        entry.attempt += 1
        token = f"{self._generation}-{self._leases}"
        worker.held = _Held(entry, token, now, now)
        self._move(entry, S.LEASED, now, worker=worker.name)
        self._settle(job)
        spec = job.job.spec
        order = Order(entry.unit, entry.attempt, token, spec.task, dict(spec.params), spec.plan)
        self._out.append(WorkerChanged(worker.name, worker.kind, "busy"))
        self._out.append(Assign(worker.name, order))

    # What must always hold

    def validate(self) -> None:
        """Raise FarmBug where the books do not agree."""
        for problem in self._problems():
            raise FarmBug(problem)

    def _problems(self) -> Iterator[str]:
        held = [w.held for w in self._workers.values() if w.held]
        tokens = [h.token for h in held]
        if len(set(tokens)) != len(tokens):
            yield "two leases share a token"
        under_lease = Counter((h.entry.unit.job, h.entry.unit.name) for h in held)
        for job in self._jobs.values():
            yield from self._job_problems(job, under_lease)

    def _job_problems(self, job: _JobEntry, under_lease: Counter[tuple[str, str]]) -> Iterator[str]:
        name = job.job.id
        for entry in job.order:
            leases = under_lease[name, entry.unit.name]
            if leases != (entry.state in HELD):
                yield f"{entry.unit.name} of {name} is {entry.state} under {leases} leases"
        if job.held != sum(e.state in HELD for e in job.order):
            yield f"{name} miscounts its leases"
        if job.left != sum(not e.state.is_final for e in job.order):
            yield f"{name} miscounts what is left"
        ready = {e.number for e in job.order if e.state is S.READY}
        if not ready <= set(job.ready):
            yield f"{name} has lost a ready unit"
        waiting = {e.number for e in job.order if e.state is S.RETRY_WAIT}
        if waiting != {number for _, number in job.waiting}:
            yield f"{name} has lost a waiting unit"
        if job.job.state.is_final != (job.left == 0):
            yield f"{name} is {job.job.state} with {job.left} units left"


def first_states(units: Sequence[Unit], finished: Iterable[str] = ()) -> tuple[UnitState, ...]:
    """Return the states that units begin in; those named finished are skipped."""
    done = set(finished)
    return tuple(S.SKIPPED if u.name in done else S.BLOCKED if u.needs else S.READY for u in units)
