"""Decides which worker does what next: events in, instructions out. Pure: no I/O, clock or threads.

    blocked ─► ready ─► leased ─► running
                 ▲         └───┬─────┘
                 │             ├─► succeeded
                 ├─────────────┤                 stopped with the farm, or the job has to wait
                 ├─ retry_wait ◄                 failed, with tries left
                               ├─► quarantined   failed, and no retry is left or can help
                               └─► cancelled

A unit that is blocked, ready or waiting for its retry is cancelled when the user cancels the job,
when the job fails, or when a unit that it needs failed. Finished units of a resumed job start as
``skipped``. A ready unit is quarantined if too many farms have died while they ran it.

A worker holds a unit under a lease. Each lease has a token that every report must name; a report
with another token is stale and is dropped. The policy decides what each failure costs. A job that
has ended leaves only its final record, so that the cost of an event does not grow with their number.
"""

from collections import Counter
from collections.abc import Sequence

from farm.errors import FarmBug, UnknownName
from farm.model.events import (
    Assign,
    Event,
    Instruction,
    JobChanged,
    JobSubmitted,
    Progressed,
    StaleReport,
    Stopping,
    Tick,
    WantedChanged,
    WorkerChanged,
)
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import (
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
from farm.scheduling.attempts import Attempts
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import Policy
from farm.scheduling.state import SchedulerState
from farm.scheduling.units import UnitEntry
from farm.scheduling.workers import Lease, Worker

S = UnitState


class Scheduler:
    """The state of all jobs, units and workers; only handle changes it.

    generation: identifies this run of the farm, so that the leases of earlier runs are stale.
    """

    def __init__(self, policy: Policy, generation: str) -> None:
        self._policy, self._generation = policy, generation
        self._state = SchedulerState(policy)
        self._attempts = Attempts(self._state)
        self._lease_count = 0
        self._refusal = ""
        self._now = 0.0

    # Queries, also from other threads

    @property
    def is_done(self) -> bool:
        """Whether every job is in a final state."""
        return not self._state.jobs

    @property
    def has_work(self) -> bool:
        """Whether any job has not ended and does not wait for a restart of the farm."""
        return len(self._state.waiting_for_restart) < len(self._state.jobs)

    def job(self, job: str) -> Job:
        """Return a job in its current state. Raises UnknownName."""
        scheduled = self._state.jobs.get(job)
        ended = scheduled.job if scheduled else self._state.ended.get(job)
        if ended is None:
            raise UnknownName("job", job, (*self._state.jobs, *self._state.ended))
        return ended

    def busy_workers(self) -> list[str]:
        """Return the workers that hold a unit."""
        return [worker.name for worker in self._state.workers.busy()]

    def unit_counts(self) -> Counter[UnitState]:
        """Return the number of units in each state."""
        return Counter(self._state.census.units)

    def frame_count(self) -> int:
        """Return the number of units that render a frame."""
        return self._state.census.frames

    def job_counts(self) -> Counter[JobState]:
        """Return the number of jobs in each state."""
        return Counter(self._state.census.jobs)

    def worker_counts(self) -> Counter[str]:
        """Return the numbers of rendering workers that are idle and busy."""
        busy = self._state.workers.busy_rendering
        return Counter(busy=busy, idle=self._state.workers.rendering - busy)

    def oldest_ready(self) -> float | None:
        """Return when the unit that has been ready longest became ready, in Unix seconds."""
        return self._state.census.oldest_ready

    # Events

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and return what to store, do and report, in the order it happened.

        now: Unix seconds. If the clock is set back, time stands still until it catches up.
        Raises UnknownName for a job that was never submitted.
        """
        self._now = now = max(now, self._now)
        self._state.out = []
        match event:
            case JobSubmitted():
                self._submit(event, now)
            case WantedChanged():
                self._want(event, now)
            case WorkerJoined():
                self._join(event, now)
            case WorkerLost():
                self._lose(event, now)
            case WorkerRefused():
                self._refuse(event)
            case UnitStarted() | UnitProgress() | UnitSucceeded() | UnitFailed() | UnitCancelled():
                self._report(event, now)
            case Stopping():
                self._stop(now)
            case Tick():
                self._state.checks.run(now)
                self._check_devices(now)
        self._state.wakes.run(now)
        self._place(now)
        self._state.census.settle()
        return self._state.out

    # Jobs

    def _submit(self, event: JobSubmitted, now: float) -> None:
        name = event.job.id
        if name in self._state.jobs or name in self._state.ended:
            raise FarmBug(f"job {name} was submitted twice")
        job = ScheduledJob(event.job, event.units, now, self._state.emit, self._state.census)
        self._state.jobs[name] = job
        self._state.devices.add(job)
        self._state.emit(JobChanged(event.job))
        _set_suspects_apart(job.entries, self._policy)
        for restored, entry in zip(event.units, job.entries, strict=True):
            if restored.state in HELD:
                job.move(entry, S.READY, now, reason="the farm ended while it ran this unit")
            else:
                job.restore(entry, restored.state, now)
        self._state.wake_at(now, job)
        self._state.emit_device_notices(job)
        if event.job.wanted is Wanted.CANCEL:
            self._state.cancel(job, now, "cancelled", by="user")
        self._state.settle(job)

    def _want(self, event: WantedChanged, now: float) -> None:
        job = self._state.jobs.get(event.job)
        if job is None:
            self.job(event.job)
            return
        if job.job.wanted in (event.wanted, Wanted.CANCEL):
            return
        job.want(event.wanted)
        if event.wanted is Wanted.CANCEL:
            self._state.cancel(job, now, "cancelled", by="user")
        self._state.settle(job)

    # Workers

    def _join(self, event: WorkerJoined, now: float) -> None:
        if event.worker in self._state.workers:
            raise FarmBug(f"worker {event.worker} joined twice")
        worker = Worker(event.worker, event.kind, event.device)
        self._state.workers.add(worker)
        self._refusal = ""
        self._state.emit(WorkerChanged(worker.name, worker.kind, "idle"))
        self._state.placement.touch_worker(worker)
        if self._state.workers.is_first_with_its_device(worker):
            for notice in self._state.devices.notices_for_worker(worker):
                self._state.emit(notice)
        self._check_devices(now)

    def _refuse(self, event: WorkerRefused) -> None:
        self._refusal = f"worker {event.worker} was refused: {event.reason}"
        self._state.emit(WorkerChanged(event.worker, event.kind, "refused", event.reason))

    def _lose(self, event: WorkerLost, now: float) -> None:
        worker = self._state.workers.get(event.worker)
        if worker is None:
            return
        self._state.workers.remove(worker)
        self._state.blocklist.forget_worker(worker.name)
        self._state.placement.touch_all_workers()
        self._state.emit(WorkerChanged(worker.name, worker.kind, "gone", event.reason))
        if worker.lease:
            self._attempts.take_back(worker, worker.lease, event.reason, now)
        self._check_devices(now)

    def _check_devices(self, now: float) -> None:
        """Fail the jobs that have had no worker for too long."""
        seconds = self._policy.no_workers_seconds
        for job in self._state.devices.lacking(self._state.workers.has_renderer, seconds, now):
            self._state.give_up(job, "no workers left", self._why_no_workers(job.job.device), now)
            self._state.settle(job)

    def _why_no_workers(self, device: str) -> str:
        seconds = f"for {self._policy.no_workers_seconds:.0f} s"
        if self._state.workers.rendering:
            return (
                f"no worker with the device of the first frames ({device}) {seconds}; start one, or "
                "submit the job again without --resume"
            )
        return f"no workers {seconds}; {self._refusal or 'run `farm doctor`'}"

    def _stop(self, now: float) -> None:
        self._state.is_stopping = True
        for worker in self._state.workers.busy():
            self._state.ask_to_stop(worker, now)

    # Reports

    def _report(
        self,
        event: UnitStarted | UnitProgress | UnitSucceeded | UnitFailed | UnitCancelled,
        now: float,
    ) -> None:
        worker = self._state.workers.get(event.worker)
        if worker is None or worker.lease is None or worker.lease.token != event.token:
            self._state.emit(StaleReport(event.worker, event.token))
            return
        lease = worker.lease
        lease.last_report = now
        match event:
            case UnitStarted():
                lease.job.move(lease.entry, S.RUNNING, now, worker=worker.name)
            case UnitProgress():
                self._state.emit(Progressed(lease.entry.unit, event))
            case _:
                self._attempts.end(worker, lease, event, now)

    # Placement

    def _place(self, now: float) -> None:
        if self._state.is_stopping:
            return
        for worker, job, entry in self._state.placement.matches(now):
            if self._policy.is_spent(Reason.CRASH, entry.crashes):
                self._attempts.quarantine_suspect(job, entry, now)
                self._state.placement.touch_worker(worker)
            else:
                self._lease(worker, job, entry, now)

    def _lease(self, worker: Worker, job: ScheduledJob, entry: UnitEntry, now: float) -> None:
        self._lease_count += 1
        entry.attempt += 1
        token = f"{self._generation}-{self._lease_count}"
        lease = Lease(job, entry, token, now)
        self._state.workers.occupy(worker, lease)
        self._state.watch(worker, lease)
        is_first = entry.unit.role is Role.RENDER and worker.device and not job.job.device
        if is_first:
            self._state.devices.remove(job)
            job.fix_device(worker.device)
            self._state.devices.add(job)
        job.move(entry, S.LEASED, now, worker=worker.name)
        if job.hold:
            job.hold.probe = entry
        self._state.settle(job)
        if is_first:
            self._state.emit_device_notices(job)
        self._state.emit(WorkerChanged(worker.name, worker.kind, "busy"))
        order = _order(lease, job.job.spec, job.missing_needs(entry))
        self._state.emit(Assign((worker.name,), order))

    # Invariants

    def validate(self) -> None:
        """Raise FarmBug if jobs, units, leases, queues and counts are inconsistent."""
        for problem in self._state.problems(self._now):
            raise FarmBug(problem)


def _set_suspects_apart(entries: Sequence[UnitEntry], policy: Policy) -> None:
    """Let a unit run alone that was running each time when farms died.

    A farm in one process holds one unit of each role, and one of them may have killed it. If several
    are suspect, a larger farm was stopped, whose units run in other processes.
    """
    suspects = [entry for entry in entries if policy.is_suspect(entry.crashes)]
    roles = Counter(entry.unit.role for entry in suspects)
    for entry in suspects:
        entry.runs_alone = roles[entry.unit.role] == 1


def _order(lease: Lease, spec: JobSpec, missing: tuple[str, ...]) -> Order:
    unit = lease.entry.unit
    return Order(
        unit,
        lease.entry.attempt,
        lease.token,
        spec.task,
        dict(spec.params),
        spec.plan,
        missing,
        spec.film,
        spec.frames,
        spec.known_files(unit.source),
    )
