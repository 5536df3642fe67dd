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

A user may want units tried again that have ended: they are ready then, and the units that need them
are blocked. So a job that has ended may enter once more.

A worker, or several that share it, holds a unit under a lease. Each lease has a token that every report
must name; a report with another token, or of another worker than the first, is stale and is dropped.
If any of the workers is gone, the attempt has ended. If the first one is silent or does not stop when
asked to, it alone is killed, and the others are idle.
The policy decides what each failure costs. A job that has ended leaves only its final record, so that
the cost of an event does not grow with their number.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from farm.errors import Conflict, FarmBug, UnknownName
from farm.model.events import (
    Assign,
    CancelWanted,
    Event,
    Instruction,
    JobChanged,
    JobReopened,
    JobSubmitted,
    PriorityChanged,
    Progressed,
    RetryWanted,
    StaleReport,
    Stopping,
    Tick,
    WantedChanged,
    WorkerChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import (
    Hold,
    NoWorkers,
    Order,
    Reason,
    Room,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerAlive,
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
)
from farm.model.unit import HELD, UnitState
from farm.scheduling.attempts import Attempts
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import Policy
from farm.scheduling.retries import retry
from farm.scheduling.roster import Roster
from farm.scheduling.state import SchedulerState
from farm.scheduling.units import UnitEntry
from farm.scheduling.waiting import waits_for
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
        self._roster = Roster(self._state, self._attempts)
        self._lease_count = 0
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
        """Return a job in its current state, also if it is among the last that have ended.

        Raises UnknownName.
        """
        scheduled = self._state.jobs.get(job)
        ended = scheduled.job if scheduled else self._state.ended.get(job)
        if ended is None:
            known = (*self._state.jobs, *self._state.ended)
            raise UnknownName("job", job, known, "`farm jobs` lists them all")
        return ended

    def units(self, job: str) -> Sequence[UnitEntry]:
        """Return the units of a job that has not ended. For the loop's thread."""
        return self._state.jobs[job].entries

    def waits_for(self, job: str) -> str:
        """Return why no worker holds a unit of a job, in words; empty if one does, or it has ended."""
        scheduled = self._state.jobs.get(job)
        return waits_for(self._state, scheduled, self._now) if scheduled else ""

    def busy_workers(self) -> list[str]:
        """Return the workers that hold a unit, alone or with others."""
        leases = self._state.workers.leases()
        return [worker.name for lease in leases for worker in lease.workers]

    def workers(self) -> list[WorkerJoined]:
        """Return what each worker that is here said of itself when it joined."""
        return [worker.joined for worker in self._state.workers.all()]

    def wanted_workers(self) -> int:
        """Return how many rendering workers the units that run or are ready could use.

        A unit for all workers counts as one. At most as many as the policy allows.
        """
        return min(self._state.demand, self._policy.most_wanted)

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

    def lease_counts(self) -> Counter[str]:
        """Return the number of leases by the kind of worker that reports."""
        return Counter(lease.lead.kind for lease in self._state.workers.leases())

    def gang_count(self) -> int:
        """Return the number of shared units that workers hold."""
        return sum(lease.is_shared for lease in self._state.workers.leases())

    def room(self) -> int:
        """Return the number of rendering workers that the executor has room for."""
        room = self._state.placement.gatherings.room
        return self._state.workers.rendering if room is None else room

    def queues(self) -> dict[str, tuple[int, float | None]]:
        """Return how many units of each task are ready, and when the first became so, in Unix seconds."""
        queues = list(self._state.census.queues.items())
        return {task: (queue.count, queue.oldest) for task, queue in queues}

    def hold_counts(self) -> Counter[Hold]:
        """Return the number of jobs that each kind of hold keeps waiting."""
        holds = [job.hold for job in list(self._state.jobs.values())]
        return Counter(hold.kind for hold in holds if hold)

    # Events

    def handle(self, event: Event, now: float) -> list[Instruction]:
        """Take one event and return what to store, do and report, in the order it happened.

        now: Unix seconds. If the clock is set back, time stands still until it catches up.
        Raises UnknownName for a job that was never submitted.
        """
        self._now = now = max(now, self._now)
        self._state.out = []
        match event:
            case UnitStarted() | UnitProgress() | UnitSucceeded() | UnitFailed() | UnitCancelled():
                self._report(event, now)
            case JobSubmitted():
                self._submit(event, now)
            case JobReopened():
                self._reopen(event, now)
            case WantedChanged():
                self._want(event, now)
            case CancelWanted() | PriorityChanged() | RetryWanted():
                self._change(event, now)
            case Stopping():
                self._stop(now)
            case Tick():
                self._state.checks.run(now)
                self._roster.check(now)
                self._state.placement.gatherings.recheck()
            case (
                WorkerJoined()
                | WorkerLost()
                | WorkerRefused()
                | WorkerAlive()
                | Room()
                | NoWorkers()
            ):
                self._roster.handle(event, now)
        self._state.wakes.run(now)
        self._place(now)
        self._state.census.settle()
        return self._state.out

    # Jobs

    def _submit(self, event: JobSubmitted, now: float) -> None:
        name = event.job.id
        if name in self._state.ended:
            raise FarmBug(f"job {name} was submitted twice")
        job = self._enter(event.job, event.units, now)
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

    def _enter(self, job: Job, units: Sequence[RestoredUnit], now: float) -> ScheduledJob:
        if job.id in self._state.jobs:
            raise FarmBug(f"job {job.id} was submitted twice")
        owner = self._state.owners.join(job.spec.owner)
        entered = ScheduledJob(
            job, units, now, self._state.emit, census=self._state.census, owner=owner
        )
        self._state.jobs[job.id] = entered
        self._state.devices.add(entered)
        return entered

    def _reopen(self, event: JobReopened, now: float) -> None:
        queued = replace(event.job, state=JobState.QUEUED, wanted=Wanted.RUN, reason="", since=now)
        job = self._enter(queued, event.units, now)
        self._state.emit(JobChanged(queued))
        if self._state.ended.pop(event.job.id, None):
            self._state.census.remove_job(event.job.state, job.entries)
        for entry in job.entries:
            job.dependants.note_end(entry)
        retry(job, event.wish, now)
        self._state.settle(job)

    def _want(self, event: WantedChanged, now: float) -> None:
        job = self._state.jobs.get(event.job)
        if job is None:
            self.job(event.job)
            return
        if job.job.wanted not in (event.wanted, Wanted.CANCEL):
            job.want(event.wanted, now)
        if event.wanted is Wanted.CANCEL:
            self._state.cancel(job, now, "cancelled", by="user")
        self._state.settle(job)

    def _change(self, event: CancelWanted | PriorityChanged | RetryWanted, now: float) -> None:
        """Do what the user wants of a job, unless it has ended."""
        job = self._state.jobs.get(event.job)
        if job is None:
            self.job(event.job)
            return
        match event:
            case CancelWanted() if job.job.wanted is not Wanted.CANCEL:
                job.want(Wanted.CANCEL, now)
            case PriorityChanged(_, priority):
                job.prioritise(priority)
            case RetryWanted():
                if job.is_ending:
                    raise Conflict(f"job {event.job} is ending; ask again when it has ended")
                retry(job, event, now)
        self._state.settle(job)

    def _stop(self, now: float) -> None:
        self._state.is_stopping = True
        for lease in self._state.workers.leases():
            self._state.ask_to_stop(lease, now)

    # Reports

    def _report(
        self,
        event: UnitStarted | UnitProgress | UnitSucceeded | UnitFailed | UnitCancelled,
        now: float,
    ) -> None:
        worker = self._state.workers.get(event.worker)
        lease = worker.lease if worker else None
        if not worker or not lease or lease.token != event.token or lease.lead is not worker:
            self._state.emit(StaleReport(event.worker, event.token))
            return
        lease.last_report = worker.last_sign = now
        match event:
            case UnitStarted():
                lease.job.move(lease.entry, S.RUNNING, now, worker=worker.name)
            case UnitProgress():
                self._attempts.note_progress(lease, event)
                self._state.emit(Progressed(lease.entry.unit, event))
            case _:
                self._attempts.end(lease, event, now)

    # Placement

    def _place(self, now: float) -> None:
        if self._state.is_stopping or not self._state.placement.has_news:
            return
        for workers, job, entry in self._state.placement.matches(now):
            if self._policy.is_spent(Reason.CRASH, entry.crashes):
                self._attempts.quarantine_suspect(job, entry, now)
                for worker in workers:
                    self._state.placement.touch_worker(worker)
            else:
                self._lease(workers, job, entry, now)

    def _lease(
        self, workers: tuple[Worker, ...], job: ScheduledJob, entry: UnitEntry, now: float
    ) -> None:
        self._lease_count += 1
        entry.attempt += 1
        token = f"{self._generation}-{self._lease_count}"
        aside = sum([now - w.aside_since for w in workers if w.aside_since is not None])
        names = tuple([worker.name for worker in workers])
        lease = Lease(job, entry, token, workers, now, now, job.job.spec.priority, aside)
        self._state.begin(lease, now)
        device = workers[0].device
        is_first = entry.renders and device and not job.job.device
        if is_first:
            self._state.devices.remove(job)
            job.fix_device(device)
            self._state.devices.add(job)
        job.lease(entry, names, now)
        if job.hold:
            job.hold.probe = entry
        self._state.settle(job)
        if is_first:
            self._state.emit_device_notices(job)
        for worker in workers:
            self._state.emit(WorkerChanged(worker.name, worker.kind, "busy"))
        order = _order(lease, job.job.spec, job.missing_needs(entry))
        self._state.emit(Assign(names, order))

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
    renders = Counter(entry.renders for entry in suspects)
    for entry in suspects:
        entry.runs_alone = renders[entry.renders] == 1


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
