"""Decides which worker does what next: events in, instructions out. Pure: no I/O, clock or threads.

    blocked ─► ready ─► leased ─► running
                 ▲         └───┬─────┘
                 │             ├─► succeeded
                 ├─────────────┤                 stopped with the farm
                 ├─ retry_wait ◄                 failed, with tries left
                               ├─► quarantined   failed, and no retry is left or can help
                               └─► cancelled

A unit that is blocked, ready or waiting for its retry is cancelled when the user cancels the job,
when the farm has no workers, or when a unit that it needs failed. Finished units of a resumed job
start as ``skipped``.

A worker holds a unit under a lease. Each lease has a token that every report must name; a report
with another token is stale and is dropped. The policy decides what each failure costs.
"""

from collections import Counter
from collections.abc import Iterator

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
    WantedChanged,
    WorkerChanged,
)
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
    WorkerLost,
    WorkerRefused,
)
from farm.model.unit import HELD, Role, UnitState
from farm.scheduling.jobs import ScheduledJob, UnitEntry
from farm.scheduling.policy import Policy, allowed, job_order, may_try, serves
from farm.scheduling.workers import Blocklist, Lease, Worker

S = UnitState


class Scheduler:
    """The state of all jobs, units and workers; only handle changes it.

    generation: identifies this run of the farm, so that the leases of earlier runs are stale.
    """

    def __init__(self, policy: Policy, generation: str) -> None:
        self._policy, self._generation = policy, generation
        self._jobs: dict[str, ScheduledJob] = {}
        self._workers: dict[str, Worker] = {}
        self._blocklist = Blocklist(policy)
        self._lease_count = 0
        self._no_workers_since: float | None = None
        self._is_stopping = False
        self._now = 0.0
        self._out: list[Instruction] = []

    # Queries, also from other threads

    @property
    def is_done(self) -> bool:
        """Whether every job is in a final state."""
        return all(job.job.state.is_final for job in list(self._jobs.values()))

    def job(self, job: str) -> Job:
        """Return a job in its current state. Raises UnknownName."""
        return self._job(job).job

    def busy_workers(self) -> list[str]:
        """Return the workers that hold a unit."""
        return [worker.name for worker in list(self._workers.values()) if worker.lease]

    def unit_counts(self) -> Counter[UnitState]:
        """Return the number of units in each state."""
        return Counter(entry.state for entry in self._entries())

    def frame_count(self) -> int:
        """Return the number of units that render a frame."""
        return sum(entry.unit.role is Role.RENDER for entry in self._entries())

    def job_counts(self) -> Counter[JobState]:
        """Return the number of jobs in each state."""
        return Counter(job.job.state for job in list(self._jobs.values()))

    def worker_counts(self) -> Counter[str]:
        """Return the numbers of rendering workers that are idle and busy."""
        rendering = [w for w in list(self._workers.values()) if w.kind != "finish"]
        return Counter("busy" if w.lease else "idle" for w in rendering)

    def oldest_ready(self) -> float | None:
        """Return when the unit that has been ready longest became ready, in Unix seconds."""
        return min((e.since for e in self._entries() if e.state is S.READY), default=None)

    def _entries(self) -> Iterator[UnitEntry]:
        return (entry for job in list(self._jobs.values()) for entry in job.entries)

    # Events

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and return what to store, do and report, in the order it happened.

        now: Unix seconds. If the clock is set back, time stands still until it catches up.
        Raises UnknownName for a job that was never submitted.
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
            case WorkerRefused():
                self._emit(WorkerChanged(event.worker, event.kind, "refused", event.reason))
            case UnitStarted() | UnitProgress() | UnitSucceeded() | UnitFailed() | UnitCancelled():
                self._report(event, now)
            case Stopping():
                self._stop(now)
            case Tick():
                self._check_leases(now)
                self._check_no_workers(now)
        for job in self._jobs.values():
            job.wake(now)
        self._place(now)
        return self._out

    def _emit(self, instruction: Instruction) -> None:
        self._out.append(instruction)

    # Jobs

    def _job(self, job: str) -> ScheduledJob:
        if job not in self._jobs:
            raise UnknownName("job", job, self._jobs)
        return self._jobs[job]

    def _submit(self, event: JobSubmitted, now: float) -> None:
        if event.job.id in self._jobs:
            raise FarmBug(f"job {event.job.id} was submitted twice")
        if self.is_done:
            self._no_workers_since = None
        job = ScheduledJob(event.job, event.units, now, self._emit)
        self._jobs[event.job.id] = job
        self._emit(JobChanged(event.job))
        for restored, entry in zip(event.units, job.entries, strict=True):
            if restored.state in HELD:
                self._fail(job, entry, Failure(Reason.WORKER_DIED, "the farm exited"), now)
            else:
                job.restore(entry, restored.state, now)
        if event.job.wanted is Wanted.CANCEL:
            self._cancel(job, now, "cancelled", by="user")
        job.settle()

    def _want(self, event: WantedChanged, now: float) -> None:
        job = self._job(event.job)
        if job.job.state.is_final or job.job.wanted in (event.wanted, Wanted.CANCEL):
            return
        job.want(event.wanted)
        if event.wanted is Wanted.CANCEL:
            self._cancel(job, now, "cancelled", by="user")
        job.settle()

    def _cancel(self, job: ScheduledJob, now: float, reason: str, by: str) -> None:
        job.cancel_waiting(now, reason, by)
        for worker in self._workers.values():
            if worker.lease and worker.lease.job is job:
                self._ask_to_stop(worker, worker.lease, now)

    # Workers

    def _join(self, event: WorkerJoined) -> None:
        if event.worker in self._workers:
            raise FarmBug(f"worker {event.worker} joined twice")
        self._workers[event.worker] = Worker(event.worker, event.kind)
        self._no_workers_since = None
        self._emit(WorkerChanged(event.worker, event.kind, "idle"))

    def _lose(self, event: WorkerLost, now: float) -> None:
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            return
        self._blocklist.forget(worker.name)
        self._emit(WorkerChanged(worker.name, worker.kind, "gone", event.reason))
        if worker.lease:
            self._take_back(worker, worker.lease, event.reason, now)
        if not any(self._serving(Role.RENDER)):
            self._no_workers_since = now

    def _take_back(self, worker: Worker, lease: Lease, why: str, now: float) -> None:
        """Take back the unit of a worker that is gone, and decide what that costs the unit."""
        entry = lease.entry
        if self._is_stopping:
            self._end_stopped(lease.job, entry, now)
            return
        reason, message = Reason.WORKER_DIED, f"worker {worker.name} died: {why}"
        if worker.is_being_killed:
            reason, message = Reason.TIMEOUT, f"worker {worker.name} stopped responding"
        elif entry.state is S.LEASED:
            reason = Reason.WORKER_LOST
        entry.tried_on.add(worker.name)
        self._fail(lease.job, entry, Failure(reason, message), now, worker.name)

    def _check_no_workers(self, now: float) -> None:
        unfinished = [j for j in self._jobs.values() if j.left and j.job.wanted is Wanted.RUN]
        if any(self._serving(Role.RENDER)) or not unfinished:
            self._no_workers_since = None
            return
        if self._no_workers_since is None:
            self._no_workers_since = now
        if now - self._no_workers_since < self._policy.no_workers_seconds:
            return
        reason = f"no workers for {self._policy.no_workers_seconds:.0f} s; run `farm doctor`"
        for job in unfinished:
            job.is_given_up = True
            self._cancel(job, now, reason, by="policy")
            job.settle()

    def _check_leases(self, now: float) -> None:
        for worker in self._workers.values():
            if not worker.lease or worker.is_being_killed:
                continue
            if worker.lease.is_overdue(self._policy, now):
                worker.is_being_killed = True
                self._emit(KillWorker(worker.name))

    def _stop(self, now: float) -> None:
        self._is_stopping = True
        for worker in self._workers.values():
            if worker.lease:
                self._ask_to_stop(worker, worker.lease, now)

    def _ask_to_stop(self, worker: Worker, lease: Lease, now: float) -> None:
        if lease.asked_to_stop is None:
            lease.asked_to_stop = now
            self._emit(CancelWork(worker.name))

    # Reports

    def _report(
        self,
        event: UnitStarted | UnitProgress | UnitSucceeded | UnitFailed | UnitCancelled,
        now: float,
    ) -> None:
        worker = self._workers.get(event.worker)
        if worker is None or worker.lease is None or worker.lease.token != event.token:
            self._emit(StaleReport(event.worker, event.token))
            return
        worker.lease.last_report = now
        job, entry = worker.lease.job, worker.lease.entry
        match event:
            case UnitStarted():
                job.move(entry, S.RUNNING, now, worker=worker.name)
            case UnitProgress():
                self._emit(Progressed(entry.unit, event))
            case UnitSucceeded():
                self._end_succeeded(worker, worker.lease, event.figures, now)
            case UnitFailed():
                self._end_failed(worker, worker.lease, event.failure, now)
            case UnitCancelled():
                self._free(worker)
                self._end_stopped(job, entry, now)

    def _end_succeeded(self, worker: Worker, lease: Lease, figures: Figures, now: float) -> None:
        job = lease.job
        self._blocklist.clear(job.job.id, worker.name)
        job.move(lease.entry, S.SUCCEEDED, now, worker=worker.name, figures=figures)
        self._free(worker)
        job.settle()

    def _end_failed(self, worker: Worker, lease: Lease, failure: Failure, now: float) -> None:
        self._free(worker)
        lease.entry.tried_on.add(worker.name)
        if not failure.is_fatal:
            self._blocklist.add_failure(lease.job.job.id, worker.name, now)
        self._fail(lease.job, lease.entry, failure, now, worker.name)

    def _end_stopped(self, job: ScheduledJob, entry: UnitEntry, now: float) -> None:
        """Cancel a unit that stopped, or make it ready again at no cost."""
        if job.job.wanted is Wanted.CANCEL:
            job.move(entry, S.CANCELLED, now, reason="cancelled", by="user")
        else:
            job.move(entry, S.READY, now, reason="stopped", by="user")
        job.settle()

    def _fail(
        self, job: ScheduledJob, entry: UnitEntry, failure: Failure, now: float, worker: str = ""
    ) -> None:
        """Count a failed attempt of a unit that no worker holds; retry it later or quarantine it."""
        entry.failures[failure.reason] += 1
        failures = entry.failures[failure.reason]
        state, reason, retry_at = S.RETRY_WAIT, failure.message, 0.0
        if job.job.wanted is Wanted.CANCEL:
            state = S.CANCELLED
        elif failure.is_fatal or self._policy.is_spent(failure.reason, failures):
            state, reason = S.QUARANTINED, _quarantine_reason(failure, failures)
        else:
            retry_at = now + self._policy.delay(failure.reason, failures)
        job.move(
            entry, state, now, reason=reason, worker=worker, failure=failure, retry_at=retry_at
        )
        job.settle()

    def _free(self, worker: Worker) -> None:
        worker.lease = None
        self._emit(WorkerChanged(worker.name, worker.kind, "idle"))

    # Placement

    def _place(self, now: float) -> None:
        if self._is_stopping:
            return
        for worker in self._workers.values():
            if worker.lease is None and not worker.is_being_killed:
                self._place_on(worker, now)

    def _place_on(self, worker: Worker, now: float) -> None:
        """Lease the next unit that this worker may run, if there is one."""
        runnable = [j for j in self._jobs.values() if j.job.wanted is Wanted.RUN]
        for job in sorted(
            runnable, key=lambda j: job_order(j.job.spec.priority, j.held, j.job.created)
        ):
            for role in (Role.FINISH, Role.RENDER):
                entry = self._next_unit(job, role, worker, now) if job.has_ready(role) else None
                if entry is not None:
                    self._lease(worker, job, entry, now)
                    return

    def _serving(self, role: Role) -> list[str]:
        """Return the workers that may run units of this role."""
        kinds = {worker.kind for worker in self._workers.values()}
        return [w.name for w in self._workers.values() if serves(w.kind, role, kinds)]

    def _next_unit(
        self, job: ScheduledJob, role: Role, worker: Worker, now: float
    ) -> UnitEntry | None:
        """Take the first ready unit of a role that this worker may run from its queue."""
        pool = allowed(self._serving(role), self._blocklist.blocked(job.job.id, now))
        if worker.name not in pool:
            return None
        return job.take_ready(role, lambda entry: may_try(worker.name, entry.tried_on, pool))

    def _lease(self, worker: Worker, job: ScheduledJob, entry: UnitEntry, now: float) -> None:
        self._lease_count += 1
        entry.attempt += 1
        token = f"{self._generation}-{self._lease_count}"
        worker.lease = Lease(job, entry, token, now)
        job.move(entry, S.LEASED, now, worker=worker.name)
        job.settle()
        spec, missing = job.job.spec, job.missing_needs(entry)
        params = dict(spec.params)
        order = Order(
            entry.unit,
            entry.attempt,
            token,
            spec.task,
            params,
            spec.plan,
            missing,
            spec.film,
            spec.frames,
            spec.known_files(entry.unit.source),
        )
        self._emit(WorkerChanged(worker.name, worker.kind, "busy"))
        self._emit(Assign(worker.name, order))

    # Invariants

    def validate(self) -> None:
        """Raise FarmBug if jobs, units, leases and the blocklist are inconsistent."""
        for problem in self._problems():
            raise FarmBug(problem)

    def _problems(self) -> Iterator[str]:
        leases = [worker.lease for worker in self._workers.values() if worker.lease]
        if len({lease.token for lease in leases}) != len(leases):
            yield "two leases share a token"
        yield from self._blocklist.problems(self._workers)
        held = Counter((lease.entry.unit.job, lease.entry.number) for lease in leases)
        for job in self._jobs.values():
            for entry in job.entries:
                count = held[entry.unit.job, entry.number]
                if count != (entry.state in HELD):
                    yield f"{entry.unit.name} is {entry.state} with {count} leases"
            yield from job.problems()


def _quarantine_reason(failure: Failure, failures: int) -> str:
    if failure.reason is Reason.WORKER_DIED and not failure.is_fatal:
        return f"killed {failures} workers; last failure: {failure.message}"
    return failure.message
