"""All that the scheduler knows, and the changes that keep it consistent."""

from collections import Counter
from collections.abc import Iterator
from functools import partial

from farm.model.events import CancelWork, Instruction, KillWorker, WorkerChanged
from farm.model.job import Job
from farm.model.unit import HELD
from farm.scheduling.agenda import Agenda
from farm.scheduling.blocklist import Blocklist
from farm.scheduling.census import Census
from farm.scheduling.devices import Devices
from farm.scheduling.holds import JobHold
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.placement import Placement
from farm.scheduling.policy import Policy
from farm.scheduling.workers import Lease, Worker, Workers


class SchedulerState:
    """Jobs, units and workers.

    jobs: those that have not ended. ended: the final records of the others. waiting_for_restart:
    jobs that wait for a restart of the farm. wakes: what to do at the first event after a time. checks: what to do at the
    first tick after it. out: the instructions of the event that is being handled.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.jobs: dict[str, ScheduledJob] = {}
        self.ended: dict[str, Job] = {}
        self.waiting_for_restart: set[str] = set()
        self.workers, self.blocklist = Workers(), Blocklist(policy)
        self.census, self.devices = Census(), Devices()
        self.placement = Placement(self.workers, self.jobs, self.blocklist)
        self.wakes, self.checks = Agenda(), Agenda()
        self.is_stopping = False
        self.out: list[Instruction] = []
        self._forgiving: set[str] = set()

    def emit(self, instruction: Instruction) -> None:
        self.out.append(instruction)

    # Jobs

    def settle(self, job: ScheduledJob) -> None:
        """Update a job's state; drop all but its record if it has ended."""
        job.settle()
        name = job.job.id
        if job.job.state.is_final:
            del self.jobs[name]
            self.ended[name] = job.job
            self.waiting_for_restart.discard(name)
            self.devices.remove(job)
            self.blocklist.forget_job(name)
            return
        self.placement.touch_job(job)
        if job.waits_for_restart:
            self.waiting_for_restart.add(name)
        else:
            self.waiting_for_restart.discard(name)

    def cancel(self, job: ScheduledJob, now: float, reason: str, by: str) -> None:
        """Cancel a job's waiting units, and ask the workers that hold the others to stop."""
        job.cancel_waiting(now, reason, by)
        for worker in self.workers.of_job(job.job.id):
            self.ask_to_stop(worker, now)

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
            self.placement.touch_job(job)

    def block(self, job: ScheduledJob, worker: Worker, now: float) -> None:
        """Count a failure of a worker, which may block it from the job until it is forgiven."""
        self.blocklist.add_failure(job.job.id, worker.name, now)
        if job.job.id not in self._forgiving:
            self._forgive(job, now)

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

    def free(self, worker: Worker) -> None:
        """End a worker's lease."""
        self.workers.free(worker)
        self.placement.touch_worker(worker)
        self.emit(WorkerChanged(worker.name, worker.kind, "idle"))

    def ask_to_stop(self, worker: Worker, now: float) -> None:
        """Ask a busy worker to stop its unit, once."""
        lease = worker.lease
        if lease and lease.asked_to_stop is None:
            lease.asked_to_stop = now
            self.watch(worker, lease)
            self.emit(CancelWork(worker.name, lease.token))

    def watch(self, worker: Worker, lease: Lease) -> None:
        """Check the lease of a worker when it may be overdue."""
        due = lease.deadline(self.policy)
        if worker.next_check is None or due < worker.next_check:
            worker.next_check = due
            self.checks.add(due, partial(self._check_lease, worker, due))

    def _check_lease(self, worker: Worker, due: float, now: float) -> None:
        if worker.next_check != due:
            return
        worker.next_check = None
        is_here = self.workers.get(worker.name) is worker
        if not worker.lease or worker.is_being_killed or not is_here:
            return
        if worker.lease.deadline(self.policy) > now:
            self.watch(worker, worker.lease)
            return
        worker.is_being_killed = True
        self.emit(KillWorker(worker.name))

    # Invariants

    def problems(self, now: float) -> Iterator[str]:
        """Yield every inconsistency between jobs, units, leases, queues and counts."""
        leases = [worker.lease for worker in self.workers.busy() if worker.lease]
        held = Counter((lease.entry.unit.job, lease.entry.number) for lease in leases)
        entries = [entry for job in self.jobs.values() for entry in job.entries]
        for entry in entries:
            count = held[entry.unit.job, entry.number]
            if count != (entry.state in HELD):
                yield f"{entry.unit.name} is {entry.state} with {count} leases"
        for job in self.jobs.values():
            yield from job.problems()
        yield from self.workers.problems()
        yield from self.blocklist.problems(self.jobs, self.workers)
        yield from self.devices.problems(self.jobs)
        yield from self.census.problems(entries)
        if self.waiting_for_restart != {
            name for name, job in self.jobs.items() if job.waits_for_restart
        }:
            yield "the jobs that wait for a restart are miscounted"
        if not self.is_stopping:
            yield from self.placement.problems(now)
