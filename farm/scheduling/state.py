"""All that the scheduler knows, and the changes that keep it consistent."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Final

from farm.model.events import CancelWork, Instruction, KillWorker, WorkerChanged
from farm.model.job import Job
from farm.model.unit import HELD
from farm.scheduling.agenda import Agenda
from farm.scheduling.blocklist import Blocklist
from farm.scheduling.census import Census
from farm.scheduling.devices import Devices
from farm.scheduling.holds import JobHold
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.owners import Owners
from farm.scheduling.placement import Placement
from farm.scheduling.policy import Policy
from farm.scheduling.workers import Lease, Worker, Workers

SLICE_CHECK_SECONDS: Final = 60.0
"""How often a run that has had its slice is compared with those that wait."""


class SchedulerState:
    """Jobs, units and workers.

    jobs: those that have not ended. ended: the final records of the last others. waiting_for_restart:
    jobs that wait for a restart of the farm. demand: rendering workers that all jobs could use.
    wakes: what to do at the first event after a time. checks: what to do at the first tick after it.
    shows_life: the workers send signs of life. out: the instructions of the event that is being
    handled.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.jobs: dict[str, ScheduledJob] = {}
        self.ended: dict[str, Job] = {}
        self.waiting_for_restart: set[str] = set()
        self.demand = 0
        self._demands: dict[str, int] = {}
        self.workers, self.blocklist = Workers(), Blocklist(policy)
        self.census, self.devices, self.owners = Census(), Devices(), Owners()
        self.placement = Placement(self.workers, self.jobs, self.blocklist)
        self.wakes, self.checks = Agenda(), Agenda()
        self.is_stopping = self.shows_life = False
        self.out: list[Instruction] = []
        self._forgiving: set[str] = set()

    def emit(self, instruction: Instruction) -> None:
        self.out.append(instruction)

    # Jobs

    def settle(self, job: ScheduledJob) -> None:
        """Update a job's state; drop all but its record if it has ended."""
        job.settle()
        name = job.job.id
        self._note_change(job)
        if job.job.state.is_final:
            self._drop(job)
        elif job.waits_for_restart:
            self.waiting_for_restart.add(name)
        else:
            self.waiting_for_restart.discard(name)

    def _note_change(self, job: ScheduledJob) -> None:
        """Let idle workers look at a job again, and count anew the workers that it could use."""
        self.placement.touch_job(job)
        name, demand = job.job.id, job.demand
        self.demand += demand - self._demands.get(name, 0)
        self._demands[name] = demand

    def _drop(self, job: ScheduledJob) -> None:
        """Keep only the record of a job that has ended, and not for ever."""
        name = job.job.id
        del self.jobs[name], self._demands[name]
        self.owners.leave(job.owner)
        self.ended[name] = job.job
        while len(self.ended) > self.policy.kept_records:
            del self.ended[next(iter(self.ended))]
        self.waiting_for_restart.discard(name)
        self.devices.remove(job)
        self.blocklist.forget_job(name)

    def cancel(self, job: ScheduledJob, now: float, reason: str, by: str) -> None:
        """Cancel a job's waiting units, and ask the workers that hold the others to stop."""
        job.cancel_waiting(now, reason, by)
        for lease in self.workers.leases_of(job.job.id):
            self.ask_to_stop(lease, now)

    def give_up(self, job: ScheduledJob, why: str, reason: str, now: float) -> None:
        """Fail a job. why: for the job. reason: for its units."""
        job.given_up = why
        self.cancel(job, now, reason, by="policy")

    def wake_at(self, due: float, job: ScheduledJob) -> None:
        """Make the units of a job ready whose retry is due by then."""
        self.wakes.add(due, partial(self._wake, job))

    def _wake(self, job: ScheduledJob, now: float) -> None:
        if job.job.id in self.jobs:
            job.wake(now)
            self._note_change(job)

    def block(self, job: ScheduledJob, worker: Worker, now: float) -> bool:
        """Count a failure of a worker, which may block it from the job until it is forgiven.

        Returns whether it is the first of those in a row that does.
        """
        is_first = self.blocklist.add_failure(job.job.id, worker.name, now)
        if job.job.id not in self._forgiving:
            self._forgive(job, now)
        return is_first

    def _forgive(self, job: ScheduledJob, now: float) -> None:
        """Let workers serve a job again from which they are no longer blocked."""
        name = job.job.id
        self._forgiving.discard(name)
        if name not in self.jobs:
            return
        self.placement.touch_job(job)
        end = self.blocklist.next_end(name, now)
        if end is not None:
            self._forgiving.add(name)
            self.wakes.add(end, partial(self._forgive, job))

    def try_again_at(self, due: float, job: ScheduledJob, hold: JobHold) -> None:
        """Let a job that waits for storage try one unit then."""
        self.wakes.add(due, partial(self._try_again, job, hold))

    def _try_again(self, job: ScheduledJob, hold: JobHold, _now: float) -> None:
        if job.hold is hold:
            hold.is_due = True
            self.placement.touch_job(job)

    def emit_device_notices(self, job: ScheduledJob) -> None:
        """Emit a notice for workers that get no units of a job because their device differs."""
        for notice in self.devices.notices_for_job(job, self.workers):
            self.emit(notice)

    # Workers

    def begin(self, lease: Lease, now: float) -> None:
        """Give a lease to its workers."""
        self.workers.occupy(lease)
        self.placement.gatherings.note_lease(lease)
        for worker in lease.workers:
            worker.near = lease.job.job.id, lease.entry.stretch
            self.watch(worker, lease)
        if lease.is_run:
            self.checks.add(now + self.policy.slice_seconds, partial(self._check_slice, lease))

    def free(self, lease: Lease, now: float) -> None:
        """End a lease; all its workers that are still here become idle."""
        group, slice_seconds = lease.lead.group, self.policy.slice_seconds
        others_wait = lease.is_shared and self.placement.is_wanted(group, lease.priority)
        gathering = self.placement.gatherings.of(group)
        gathering.note_end(lease, now, slice_seconds, others_wait=others_wait)
        if lease.is_shared or lease.gives_way:
            lease.job.queued_since = now
        for worker in self.workers.end(lease):
            self.placement.touch_worker(worker)
            self.emit(WorkerChanged(worker.name, worker.kind, "idle"))

    def ask_to_stop(self, lease: Lease, now: float) -> None:
        """Ask the workers that hold a unit to stop it, once."""
        if lease.asked_to_stop is None:
            self.placement.gatherings.of(lease.lead.group).note_request_to_stop(lease)
            lease.asked_to_stop = now
            self.watch(lease.lead, lease)
            self.emit(CancelWork(lease.lead.name, lease.token))

    def _check_slice(self, lease: Lease, now: float) -> None:
        """Let a run give way that has had its slice, if a job has waited for as long with no worker."""
        is_over = lease.lead.lease is not lease or lease.asked_to_stop is not None
        if is_over or self.is_stopping:
            return
        if self.placement.someone_waits(lease, now - self.policy.slice_seconds):
            lease.gives_way = True
            self.ask_to_stop(lease, now)
        else:
            self.checks.add(now + SLICE_CHECK_SECONDS, partial(self._check_slice, lease))

    def note_life(self, worker: Worker, now: float) -> None:
        """Note that a worker's process answers. From the first sign on, all workers must send them."""
        worker.last_sign = now
        if not self.shows_life:
            self.shows_life = True
            for lease in self.workers.leases():
                for holder in lease.workers:
                    self.watch(holder, lease)

    def watch(self, worker: Worker, lease: Lease) -> None:
        """Check the lease of a worker when it may be overdue."""
        due = worker.deadline(lease, self.policy, shows_life=self.shows_life)
        if due < inf and (worker.next_check is None or due < worker.next_check):
            worker.next_check = due
            self.checks.add(due, partial(self._check_lease, worker, due))

    def _check_lease(self, worker: Worker, due: float, now: float) -> None:
        if worker.next_check != due:
            return
        worker.next_check = None
        is_here = self.workers.get(worker.name) is worker
        if not worker.lease or worker.is_being_killed or not is_here:
            return
        if worker.deadline(worker.lease, self.policy, shows_life=self.shows_life) > now:
            self.watch(worker, worker.lease)
            return
        worker.is_being_killed = True
        self.emit(KillWorker(worker.name))

    # Invariants

    def problems(self, now: float) -> Iterator[str]:
        """Yield every inconsistency between jobs, units, leases, queues and counts."""
        held = Counter[tuple[str, int]]()
        for lease in self.workers.leases():
            held[lease.entry.unit.job, lease.entry.number] += len(lease.workers)
        entries = [entry for job in self.jobs.values() for entry in job.entries]
        for entry in entries:
            count = held[entry.unit.job, entry.number]
            if count != entry.holders or bool(count) != (entry.state in HELD):
                yield f"{entry.unit.name} is {entry.state} and held by {count} workers"
        for job in self.jobs.values():
            yield from job.problems()
        yield from self.workers.problems()
        yield from self.blocklist.problems(self.jobs, self.workers)
        yield from self.devices.problems(self.jobs)
        yield from self.owners.problems((job.owner, job.held) for job in self.jobs.values())
        yield from self.census.problems(entries)
        if self.waiting_for_restart != {
            name for name, job in self.jobs.items() if job.waits_for_restart
        }:
            yield "the jobs that wait for a restart are miscounted"
        if self.demand != sum(job.demand for job in self.jobs.values()):
            yield "the workers that jobs could use are miscounted"
        if not self.is_stopping:
            yield from self.placement.problems(now)
