"""Who does what next: events in, instructions out. Pure: no I/O, no clock, no threads.

    blocked ─► ready ─► leased ─► running
                 ▲         └───┬─────┘
                 │             ├─► succeeded
                 ├─────────────┤                 stopped, with the farm
                 ├─ retry_wait ◄                 failed, with tries left
                               ├─► quarantined   failed, and no try is left or can help
                               └─► cancelled

What is blocked, ready or waiting is cancelled by a person, for want of workers, or because a
unit that it needs came to nothing. A resumed job's finished units begin as ``skipped``.

A unit is held under a lease: a token that every report must name. A report with another token
is stale: counted, dropped. What each failure costs is policy's to say; the scheduler counts.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush

from farm.errors import FarmBug, UnknownName
from farm.model.events import (
    Assign,
    CancelWork,
    Event,
    Instruction,
    JobChanged,
    JobSubmitted,
    KillWorker,
    Progressed,
    StaleReport,
    Stopping,
    Tick,
    UnitChanged,
    WantedChanged,
    WorkerChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState, Wanted
from farm.model.messages import (
    Failure,
    Figures,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerKind,
    WorkerLost,
)
from farm.model.unit import Role, Unit, UnitState
from farm.scheduling.policy import Policy, allowed, may_try, serves, turn

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


@dataclass
class _Entry:
    """A unit with what has happened to it. waits_for: needed units that are not done."""

    unit: Unit
    number: int
    state: UnitState
    since: float
    attempt: int
    failures: Counter[Reason]
    waits_for: set[str] = field(default_factory=set)
    tried_on: set[str] = field(default_factory=set)
    story: list[str] = field(default_factory=list)


@dataclass
class _Job:
    """A job with its units. ready: heaps of unit numbers. waiting: of when, and which.

    missing: names of units that came to nothing. is_given_up: the farm will not finish it, whatever is done so far.
    """

    job: Job
    order: list[_Entry]
    dependants: dict[str, list[_Entry]]
    held: int
    left: int
    ready: dict[Role, list[int]] = field(default_factory=lambda: {role: [] for role in Role})
    waiting: list[tuple[float, int]] = field(default_factory=list)
    missing: set[str] = field(default_factory=set)
    is_given_up: bool = False


@dataclass
class _Lease:
    """Who holds a unit. heard: when the worker last said a word of it."""

    entry: _Entry
    token: str
    heard: float
    asked_to_stop: float | None = None


@dataclass
class _Worker:
    name: str
    kind: WorkerKind
    lease: _Lease | None = None
    is_ending: bool = False


class Scheduler:
    """The state of all jobs, units and workers, changed through handle alone.

    generation: names this run of the farm, so that leases of an earlier one are stale.
    """

    def __init__(self, policy: Policy, generation: str) -> None:
        self._policy, self._generation = policy, generation
        self._jobs: dict[str, _Job] = {}
        self._workers: dict[str, _Worker] = {}
        self._strikes: dict[tuple[str, str], tuple[int, float]] = {}
        self._leases = 0
        self._no_workers_since: float | None = None
        self._is_stopping = False
        self._now = 0.0
        self._out: list[Instruction] = []

    # What is known; other threads may ask

    @property
    def is_done(self) -> bool:
        """True when every job is in a final state."""
        return all(job.job.state.is_final for job in list(self._jobs.values()))

    def job(self, job: str) -> Job:
        """Return a job as it is now. Raises UnknownName."""
        return self._job(job).job

    def busy_workers(self) -> list[str]:
        """Return the workers that hold a unit."""
        return [worker.name for worker in list(self._workers.values()) if worker.lease]

    def unit_counts(self) -> Counter[UnitState]:
        """Return how many units are in each state."""
        return Counter(e.state for job in list(self._jobs.values()) for e in job.order)

    def frame_count(self) -> int:
        """Return how many units render a frame."""
        jobs = list(self._jobs.values())
        return sum(entry.unit.role is Role.RENDER for job in jobs for entry in job.order)

    def job_counts(self) -> Counter[JobState]:
        """Return how many jobs are in each state."""
        return Counter(job.job.state for job in list(self._jobs.values()))

    def worker_counts(self) -> Counter[str]:
        """Return how many rendering workers are idle and busy."""
        rendering = [w for w in list(self._workers.values()) if w.kind != "finish"]
        return Counter("busy" if w.lease else "idle" for w in rendering)

    def oldest_ready(self) -> float | None:
        """Return since when the unit has waited that has waited longest."""
        jobs = list(self._jobs.values())
        return min((e.since for job in jobs for e in job.order if e.state is S.READY), default=None)

    # The one door

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and return what to store, do and tell, in this order of happening.

        now: Unix seconds; if a clock was set back, time stands still until it has caught up.
        Raises UnknownName for a job that nobody submitted.
        """
        self._now = now = max(now, self._now)
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
                self._stop(now)
            case Tick():
                self._check_leases(now)
                self._check_no_workers(now)
        self._wake(now)
        self._place(now)
        return self._out

    # Jobs

    def _job(self, job: str) -> _Job:
        if job not in self._jobs:
            raise UnknownName("job", job, self._jobs)
        return self._jobs[job]

    def _submit(self, event: JobSubmitted, now: float) -> None:
        if event.job.id in self._jobs:
            raise FarmBug(f"job {event.job.id} was submitted twice")
        if self.is_done:
            self._no_workers_since = None
        order = [_entry(entering, number, now) for number, entering in enumerate(event.units)]
        job = _Job(
            event.job,
            order,
            _dependants(order),
            held=sum(e.state in HELD for e in order),
            left=sum(not e.state.is_final for e in order),
        )
        self._jobs[event.job.id] = job
        self._out.append(JobChanged(event.job))
        for entering, entry in zip(event.units, order, strict=True):
            self._enter(job, entry, entering.state, now)
        if event.job.wanted is Wanted.CANCEL:
            self._cancel_all(job, now, "cancelled", by="user")
        self._settle(job)

    def _enter(self, job: _Job, entry: _Entry, state: UnitState, now: float) -> None:
        """Book a unit in the state it enters with, and go on from there."""
        match state:
            case S.READY:
                heappush(job.ready[entry.unit.role], entry.number)
            case S.RETRY_WAIT:
                heappush(job.waiting, (now, entry.number))
            case S.LEASED | S.RUNNING:
                self._fail(job, entry, Failure(Reason.WORKER_DIED, "the farm ended"), now)
            case S.SKIPPED:
                skipped = UnitChanged(entry.unit, state, entry.attempt, "finished before")
                self._out.append(skipped)
        if state.is_final:
            self._release(job, entry, now)

    def _want(self, event: WantedChanged, now: float) -> None:
        job = self._job(event.job)
        if job.job.state.is_final or job.job.wanted in (event.wanted, Wanted.CANCEL):
            return
        job.job = replace(job.job, wanted=event.wanted)
        self._out.append(JobChanged(job.job))
        if event.wanted is Wanted.CANCEL:
            self._cancel_all(job, now, "cancelled", by="user")
        self._settle(job)

    def _cancel_all(self, job: _Job, now: float, reason: str, by: str) -> None:
        for entry in job.order:
            if entry.state in (S.BLOCKED, S.READY, S.RETRY_WAIT):
                self._move(entry, S.CANCELLED, now, reason=reason, by=by)
        for heap in job.ready.values():
            heap.clear()
        job.waiting.clear()
        for worker in self._workers.values():
            if worker.lease and worker.lease.entry.unit.job == job.job.id:
                self._ask_to_stop(worker, worker.lease, now)

    def _settle(self, job: _Job) -> None:
        """Give the job the state that its units and what is wanted of it make."""
        state, reason = _state_of(job)
        if state is not job.job.state:
            job.job = replace(job.job, state=state, reason=reason)
            self._out.append(JobChanged(job.job))

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
        for key in [key for key in self._strikes if key[1] == worker.name]:
            del self._strikes[key]
        self._out.append(WorkerChanged(worker.name, worker.kind, "gone", event.reason))
        if worker.lease:
            self._drop(worker, worker.lease.entry, event.reason, now)
        if not any(self._serving(Role.RENDER)):
            self._no_workers_since = now

    def _drop(self, worker: _Worker, entry: _Entry, why: str, now: float) -> None:
        """Take the unit of a worker that is gone; say what that costs the unit."""
        if self._is_stopping:
            self._end_stopped(entry, now)
            return
        reason, told = Reason.WORKER_DIED, f"worker {worker.name} died: {why}"
        if worker.is_ending:
            reason, told = Reason.TIMEOUT, f"worker {worker.name} said nothing for too long"
        elif entry.state is S.LEASED:
            reason = Reason.WORKER_LOST
        entry.tried_on.add(worker.name)
        self._fail(self._jobs[entry.unit.job], entry, Failure(reason, told), now, worker.name)

    def _check_no_workers(self, now: float) -> None:
        waiting = [j for j in self._jobs.values() if j.left and j.job.wanted is Wanted.RUN]
        if any(self._serving(Role.RENDER)) or not waiting:
            self._no_workers_since = None
            return
        if self._no_workers_since is None:
            self._no_workers_since = now
        if now - self._no_workers_since < self._policy.no_workers_seconds:
            return
        reason = f"no workers for {self._policy.no_workers_seconds:.0f} s; see `farm doctor`"
        for job in waiting:
            job.is_given_up = True
            self._cancel_all(job, now, reason, by="policy")
            self._settle(job)

    def _check_leases(self, now: float) -> None:
        for worker in self._workers.values():
            if worker.lease and not worker.is_ending and self._is_overdue(worker.lease, now):
                worker.is_ending = True
                self._out.append(KillWorker(worker.name))

    def _is_overdue(self, lease: _Lease, now: float) -> bool:
        asked = lease.asked_to_stop
        return now - lease.heard >= self._policy.silence_seconds or (
            asked is not None and now - asked >= self._policy.cancel_seconds
        )

    def _stop(self, now: float) -> None:
        self._is_stopping = True
        for worker in self._workers.values():
            if worker.lease:
                self._ask_to_stop(worker, worker.lease, now)

    def _ask_to_stop(self, worker: _Worker, lease: _Lease, now: float) -> None:
        if lease.asked_to_stop is None:
            lease.asked_to_stop = now
            self._out.append(CancelWork(worker.name))

    # Reports

    def _report(
        self,
        event: UnitStarted | UnitProgress | UnitSucceeded | UnitFailed | UnitCancelled,
        now: float,
    ) -> None:
        worker = self._workers.get(event.worker)
        if worker is None or worker.lease is None or worker.lease.token != event.token:
            self._out.append(StaleReport(event.worker, event.token))
            return
        worker.lease.heard = now
        entry = worker.lease.entry
        match event:
            case UnitStarted():
                self._move(entry, S.RUNNING, now, worker=worker.name)
            case UnitProgress():
                self._out.append(Progressed(entry.unit, event))
            case UnitSucceeded():
                self._end_succeeded(worker, entry, event.figures, now)
            case UnitFailed():
                self._end_failed(worker, entry, event.failure, now)
            case UnitCancelled():
                self._free(worker)
                self._end_stopped(entry, now)

    def _end_succeeded(self, worker: _Worker, entry: _Entry, figures: Figures, now: float) -> None:
        job = self._jobs[entry.unit.job]
        self._strikes.pop((job.job.id, worker.name), None)
        self._move(entry, S.SUCCEEDED, now, worker=worker.name, figures=figures)
        self._free(worker)
        self._settle(job)

    def _end_failed(self, worker: _Worker, entry: _Entry, failure: Failure, now: float) -> None:
        self._free(worker)
        entry.tried_on.add(worker.name)
        if not failure.is_fatal:
            key = (entry.unit.job, worker.name)
            self._strikes[key] = (self._strikes.get(key, (0, 0.0))[0] + 1, now)
        self._fail(self._jobs[entry.unit.job], entry, failure, now, worker.name)

    def _end_stopped(self, entry: _Entry, now: float) -> None:
        """Take a unit that was stopped, and cost it nothing."""
        job = self._jobs[entry.unit.job]
        if job.job.wanted is Wanted.CANCEL:
            self._move(entry, S.CANCELLED, now, reason="cancelled", by="user")
        else:
            self._move(entry, S.READY, now, reason="stopped", by="user")
        self._settle(job)

    def _fail(
        self, job: _Job, entry: _Entry, failure: Failure, now: float, worker: str = ""
    ) -> None:
        """Spend one of the unit's tries. The worker is free, or gone, by now."""
        entry.failures[failure.reason] += 1
        spent = entry.failures[failure.reason]
        state, reason = S.RETRY_WAIT, failure.message
        if job.job.wanted is Wanted.CANCEL:
            state = S.CANCELLED
        elif failure.is_fatal or self._policy.is_spent(failure.reason, spent):
            state, reason = S.QUARANTINED, _verdict(failure, spent)
        else:
            due = now + self._policy.delay(failure.reason, spent)
            heappush(job.waiting, (due, entry.number))
        self._move(entry, state, now, reason=reason, worker=worker, failure=failure)
        self._settle(job)

    def _free(self, worker: _Worker) -> None:
        worker.lease = None
        self._out.append(WorkerChanged(worker.name, worker.kind, "idle"))

    # Units

    def _move(
        self,
        entry: _Entry,
        state: UnitState,
        now: float,
        *,
        reason: str = "",
        by: str = "policy",
        worker: str = "",
        figures: Figures | None = None,
        failure: Failure | None = None,
    ) -> None:
        """Change a unit's state, by the table only, and keep the job's books."""
        entry.story.append(f"{now:.3f} {entry.state} -> {state} {worker} {reason}".rstrip())
        if (entry.state, state) not in TRANSITIONS:
            raise FarmBug(f"unit {entry.unit.name} cannot go that way", tuple(entry.story))
        job = self._jobs[entry.unit.job]
        job.held += (state in HELD) - (entry.state in HELD)
        job.left -= state.is_final
        entry.waits_for.clear()
        waited = now - entry.since if state is S.LEASED else 0.0
        entry.state, entry.since = state, now
        self._out.append(
            UnitChanged(
                entry.unit, state, entry.attempt, reason, by, worker, figures, failure, waited
            )
        )
        if state is S.READY:
            heappush(job.ready[entry.unit.role], entry.number)
        if state.is_final:
            self._release(job, entry, now)

    def _release(self, job: _Job, needed: _Entry, now: float) -> None:
        """Let go of what waited for a unit that ended, or end it too."""
        if not needed.state.is_done:
            job.missing.add(needed.unit.name)
        for entry in job.dependants.get(needed.unit.name, ()):
            if entry.state is not S.BLOCKED:
                continue
            if not needed.state.is_done and not entry.unit.is_tolerant:
                reason = f"it needs {needed.unit.name}, which was {needed.state}"
                self._move(entry, S.CANCELLED, now, reason=reason)
                continue
            entry.waits_for.discard(needed.unit.name)
            if not entry.waits_for:
                self._move(entry, S.READY, now)

    # Placement

    def _wake(self, now: float) -> None:
        for job in self._jobs.values():
            while job.waiting and job.waiting[0][0] <= now:
                entry = job.order[heappop(job.waiting)[1]]
                self._move(entry, S.READY, now)

    def _place(self, now: float) -> None:
        if self._is_stopping:
            return
        for worker in self._workers.values():
            if worker.lease is None and not worker.is_ending:
                self._place_on(worker, now)

    def _serving(self, role: Role) -> list[str]:
        """Return the workers that may take units of this role."""
        kinds = {worker.kind for worker in self._workers.values()}
        return [w.name for w in self._workers.values() if serves(w.kind, role, kinds)]

    def _place_on(self, worker: _Worker, now: float) -> None:
        willing = [j for j in self._jobs.values() if j.job.wanted is Wanted.RUN]
        for job in sorted(willing, key=lambda j: turn(j.job.spec.priority, j.held, j.job.created)):
            for role in (Role.FINISH, Role.RENDER):
                entry = self._take(job, role, worker, now) if job.ready[role] else None
                if entry is not None:
                    self._lease(worker, job, entry, now)
                    return

    def _take(self, job: _Job, role: Role, worker: _Worker, now: float) -> _Entry | None:
        """Take the first ready unit of a role that this worker may have."""
        pool = allowed(self._serving(role), self._blocked(job, now))
        if worker.name not in pool:
            return None
        ready, passed, found = job.ready[role], [], None
        while ready and found is None:
            entry = job.order[heappop(ready)]
            if may_try(worker.name, entry.tried_on, pool):
                found = entry
            else:
                passed.append(entry.number)
        for number in passed:
            heappush(ready, number)
        return found

    def _blocked(self, job: _Job, now: float) -> list[str]:
        """Return the workers that this job's blocklist holds."""
        return [
            name
            for (struck, name), (failures, last) in self._strikes.items()
            if struck == job.job.id and self._policy.is_blocked(failures, now - last)
        ]

    def _lease(self, worker: _Worker, job: _Job, entry: _Entry, now: float) -> None:
        self._leases += 1
        entry.attempt += 1
        token = f"{self._generation}-{self._leases}"
        worker.lease = _Lease(entry, token, now)
        self._move(entry, S.LEASED, now, worker=worker.name)
        self._settle(job)
        spec = job.job.spec
        order = Order(
            entry.unit,
            entry.attempt,
            token,
            spec.task,
            dict(spec.params),
            spec.plan,
            tuple(name for name in entry.unit.needs if name in job.missing),
        )
        self._out.append(WorkerChanged(worker.name, worker.kind, "busy"))
        self._out.append(Assign(worker.name, order))

    # What must always hold

    def validate(self) -> None:
        """Raise FarmBug where the books do not agree."""
        for problem in self._problems():
            raise FarmBug(problem)

    def _problems(self) -> Iterator[str]:
        leases = [worker.lease for worker in self._workers.values() if worker.lease]
        if len({lease.token for lease in leases}) != len(leases):
            yield "two leases share a token"
        for gone in {name for _, name in self._strikes} - self._workers.keys():
            yield f"the blocklist holds {gone}, which is not there"
        held = Counter((lease.entry.unit.job, lease.entry.number) for lease in leases)
        for job in self._jobs.values():
            for entry in job.order:
                under = held[entry.unit.job, entry.number]
                if under != (entry.state in HELD):
                    yield f"{entry.unit.name} is {entry.state} under {under} leases"
            yield from _problems_of(job)


def _entry(entering: RestoredUnit, number: int, now: float) -> _Entry:
    failures = Counter(entering.failures)
    return _Entry(entering.unit, number, entering.state, now, entering.attempt, failures)


def _dependants(order: list[_Entry]) -> dict[str, list[_Entry]]:
    """Return, by name of a needed unit, those blocked by it; note in each what it waits for."""
    names = {entry.unit.name for entry in order}
    dependants: dict[str, list[_Entry]] = {}
    for entry in order:
        missing = set(entry.unit.needs) - names
        if missing:
            raise FarmBug(f"unit {entry.unit.name} needs {', '.join(missing)}, which nobody makes")
        if entry.state is S.BLOCKED:
            entry.waits_for = set(entry.unit.needs)
            for needed in entry.waits_for:
                dependants.setdefault(needed, []).append(entry)
    return dependants


def _state_of(job: _Job) -> tuple[JobState, str]:
    """Return the state of a job and why."""
    if job.left:
        if job.job.wanted is Wanted.PAUSE and not job.held:
            return JobState.PAUSED, "paused"
        started = job.held or job.left < len(job.order) or job.job.state is JobState.RUNNING
        return (JobState.RUNNING if started else JobState.QUEUED), ""
    counts = Counter(entry.state for entry in job.order)
    failed = counts[S.QUARANTINED] + counts[S.CANCELLED]
    if job.job.wanted is Wanted.CANCEL:
        return JobState.CANCELLED, "cancelled"
    if job.is_given_up:
        return JobState.FAILED, f"no workers left; {failed} of {len(job.order)} not done"
    if failed == len(job.order):
        return JobState.FAILED, "no unit succeeded"
    return JobState.COMPLETED, f"{failed} of {len(job.order)} failed" if failed else ""


def _verdict(failure: Failure, spent: int) -> str:
    """Return why a unit is given up."""
    if failure.reason is Reason.WORKER_DIED and not failure.is_fatal:
        return f"killed {spent} workers; the last time: {failure.message}"
    return failure.message


def _problems_of(job: _Job) -> Iterator[str]:
    name, states = job.job.id, [entry.state for entry in job.order]
    if job.held != sum(state in HELD for state in states):
        yield f"{name} miscounts its leases"
    if job.left != sum(not state.is_final for state in states):
        yield f"{name} miscounts what is left"
    if job.job.state.is_final != (job.left == 0):
        yield f"{name} is {job.job.state} with {job.left} units left"
    if job.job.state is JobState.PAUSED and job.held:
        yield f"{name} is paused with units in work"
    ready = [number for heap in job.ready.values() for number in heap]
    if Counter(ready) != Counter(_numbers(job, S.READY)):
        yield f"{name} has lost a ready unit"
    if Counter(n for _, n in job.waiting) != Counter(_numbers(job, S.RETRY_WAIT)):
        yield f"{name} has lost a waiting unit"
    if any((entry.state is S.BLOCKED) != bool(entry.waits_for) for entry in job.order):
        yield f"{name} has a unit that waits for nothing, or goes on without what it needs"


def _numbers(job: _Job, state: UnitState) -> Iterator[int]:
    return (entry.number for entry in job.order if entry.state is state)
