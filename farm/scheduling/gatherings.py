"""Which shared unit each device gathers workers for, and which ones the farm has too few workers for."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from heapq import merge

from farm.model.unit import ALL_WORKERS
from farm.scheduling.blocklist import Blocklist
from farm.scheduling.gathering import Gathering
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import gang_size
from farm.scheduling.queues import JobQueue, queue_device
from farm.scheduling.units import Lane
from farm.scheduling.workers import Group, Lease, Worker, Workers


class Gatherings:
    """The gathering of each device, and the jobs whose shared units wait.

    room: rendering workers that the executor has room for; None if it has not said so. have_changed:
    refresh may choose anew.
    """

    def __init__(
        self, workers: Workers, jobs: Mapping[str, ScheduledJob], blocklist: Blocklist
    ) -> None:
        self.room: int | None = None
        self._workers, self._jobs, self._blocklist = workers, jobs, blocklist
        self._queues: dict[str, JobQueue] = {}
        self._of_group: dict[Group, Gathering] = {}
        self._lacking: dict[str, ScheduledJob] = {}
        self.have_changed = self._have_sizes_changed = False

    def of(self, group: Group) -> Gathering:
        if group not in self._of_group:
            self._of_group[group] = Gathering(group)
        return self._of_group[group]

    def wanting(self, worker: Worker) -> Gathering | None:
        """Return the gathering that would take a worker, if there is one."""
        gathering = self._of_group.get(worker.group)
        if gathering is None or gathering.job is None or worker.name in gathering.excluded:
            return None
        return gathering

    def note_lease(self, lease: Lease) -> None:
        """Note that workers hold a unit."""
        self.of(lease.lead.group).note_lease(lease)
        self.have_changed |= lease.is_shared

    def touch_job(self, job: ScheduledJob) -> None:
        """Note that a job with shared units has changed."""
        for queue in self._queues.values():
            if job.job.id in queue:
                queue.update(job)
        is_target = any(gathering.job is job for gathering in self._of_group.values())
        if is_target or job.first_shared() or job.job.id in self._lacking:
            self.have_changed = True
            self._judge(job)

    def touch_owner(self, owner: str) -> None:
        """Note that an owner's jobs hold more workers than before, or fewer."""
        for queue in self._queues.values():
            queue.touch_owner(owner)
            self.have_changed |= queue.is_shared_by(owner)

    def touch_sizes(self) -> None:
        """Note that the number of workers, or the room for them, has changed."""
        self.have_changed = self._have_sizes_changed = True

    def recheck(self) -> None:
        """Let the jobs wait for workers again that the farm had too few for, if it may have enough."""
        if self._have_sizes_changed:
            self._have_sizes_changed = False
            for job in list(self._lacking.values()):
                self.touch_job(job)

    def refresh(self, now: float) -> list[Worker] | None:
        """Choose anew what is gathered for, if anything has changed; None if nothing has.

        Returns the idle workers that may now be set aside, or no longer are.
        """
        if not self.have_changed:
            return None
        self.have_changed = False
        fresh: list[Worker] = []
        for group in self._workers.groups():
            if not group.is_finisher:
                self._choose(self.of(group), now)
                fresh += self._release(self.of(group))
        return fresh

    def complete(self) -> Gathering | None:
        """Return a gathering that has its workers."""
        for gathering in self._of_group.values():
            if gathering.is_complete:
                return gathering
        return None

    def _choose(self, gathering: Gathering, now: float) -> None:
        group, current = gathering.group, gathering.job
        first = self._first(group)
        if current and gathering.has_begun and self._may_go_on(current, group):
            priority = current.job.spec.priority
            first = first if first and first.job.spec.priority > priority else current
        need = self._size(first, group) if first else 0
        gathering.aim(
            first, need, self._excluded(first, group, need, now) if first else frozenset()
        )

    def _may_go_on(self, job: ScheduledJob, group: Group) -> bool:
        is_here = job.job.id in self._jobs and group.suits(job.job.device)
        return is_here and job.can_start(Lane.SHARED) and self._size(job, group) > 0

    def _release(self, gathering: Gathering) -> list[Worker]:
        """Let the workers be idle that are no longer set aside; return those that need a decision."""
        group, excluded = gathering.group, gathering.excluded
        released = [w for w in group.aside.values() if not gathering.job or w.name in excluded]
        for worker in released:
            self._workers.release(worker)
        if gathering.job:
            released += [w for w in group.idle.values() if w.name not in excluded]
        return released

    def _first(self, group: Group) -> ScheduledJob | None:
        """Return the first job whose shared unit the workers of a group are enough for."""
        with ExitStack() as stack:
            queues = [queue for queue in self._queues.values() if group.suits(queue.device)]
            orders = [stack.enter_context(closing(queue.in_order())) for queue in queues]
            for job in merge(*orders, key=lambda job: job.order):
                if self._size(job, group):
                    return job
                if not any(self._size(job, other) for other in self._workers.groups()):
                    self._judge(job)
        return None

    def _excluded(self, job: ScheduledJob, group: Group, need: int, now: float) -> frozenset[str]:
        """Return the workers that the first shared unit of a job does without, if others are enough."""
        entry = job.first_shared()
        tried_on = entry.tried_on if entry else frozenset()
        suspects = tried_on.union(self._blocklist.blocked(job.job.id, now))
        bad = frozenset(name for name in suspects if name in group.members)
        return bad if len(group.members) - len(bad) >= need else frozenset()

    def _size(self, job: ScheduledJob, group: Group) -> int:
        """Return how many workers of a group the first shared unit of a job gets; 0 for too few."""
        entry = job.first_shared()
        wanted, here = entry.unit.workers if entry else 0, len(group.members)
        if not entry or (wanted == ALL_WORKERS and here < max(self._sizes(job), default=1)):
            return 0
        joined = self._workers.rendering
        return gang_size(wanted, here, joined, joined if self.room is None else self.room)

    def _sizes(self, job: ScheduledJob) -> list[int]:
        return [len(g.members) for g in self._workers.serving(Lane.SHARED, job.job.device)]

    def _judge(self, job: ScheduledJob) -> None:
        """Queue a job with a shared unit, or let it wait with a reason until there are more workers."""
        name, entry = job.job.id, job.first_shared()
        groups = self._workers.serving(Lane.SHARED, job.job.device)
        is_lacking = entry is not None and not any(self._size(job, group) for group in groups)
        if is_lacking and name in self._jobs:
            self._lacking[name] = job
        elif self._lacking.pop(name, None):
            job.lack = ""
        job.has_room = not is_lacking
        if is_lacking and groups and entry:
            job.lack = self._describe(entry.unit.workers, max(self._sizes(job)))
        if name in self._jobs:
            job.settle()
        if job.can_start(Lane.SHARED) or name in self._queue(job):
            self._queue(job).update(job)

    def _describe(self, wanted: int, on_device: int) -> str:
        joined = self._workers.rendering
        has = joined if self.room is None else min(joined, self.room)
        if wanted == ALL_WORKERS:
            return f"wants all {self.room} workers of the farm; {joined} have joined"
        if on_device < joined and on_device < wanted:
            return f"wants {wanted} workers of one kind; the farm has {on_device}"
        if self.room is not None and self.room >= wanted:
            return f"waits for {wanted} workers to join; {has} of {wanted} are there"
        return f"wants {wanted} workers; the farm has {has}"

    def _queue(self, job: ScheduledJob) -> JobQueue:
        device = queue_device(job, Lane.SHARED)
        if device not in self._queues:
            self._queues[device] = JobQueue(Lane.SHARED, device, self._jobs)
        return self._queues[device]

    # Invariants

    def problems(self) -> Iterator[str]:
        """Yield every shared unit that waits for nothing, and every worker that is idle beside it."""
        yield from self._problems_of_the_queues()
        for job in self._jobs.values():
            if job.can_start(Lane.SHARED) and job.job.id not in self._queue(job):
                yield f"{job.job.id} can start a shared unit but waits in no queue"
            if job.has_room == (job.job.id in self._lacking):
                yield f"{job.job.id} waits for more workers, or has them, and is not listed so"
        if not self._lacking.keys() <= self._jobs.keys():
            yield "a job that has ended waits for more workers"
        for group, gathering in self._of_group.items():
            if gathering.job is not None and not self._may_go_on(gathering.job, group):
                yield f"workers are gathered for {gathering.job.job.id}, which cannot start"
            if gathering.job is None and (group.aside or self._first(group)):
                yield "workers are set aside for nothing, or none are for a shared unit"
            if gathering.job is not None and group.idle.keys() - gathering.excluded:
                yield f"a worker is idle and not set aside for {gathering.job.job.id}"
            if gathering.is_complete:
                yield f"{gathering.job and gathering.job.job.id} has its workers and does not start"
            yield from self._miscounts(gathering)

    def _problems_of_the_queues(self) -> Iterator[str]:
        for queue in self._queues.values():
            yield from queue.problems()

    def _miscounts(self, gathering: Gathering) -> Iterator[str]:
        leases = [one for one in self._workers.leases() if one.lead.group is gathering.group]
        if gathering.lasting != sum(len(one.workers) for one in leases if one.may_last):
            yield "the workers that may be held for long are miscounted"
        running = sum(debt.running for debt in gathering.debts.values())
        if running != sum(one.is_shared for one in leases):
            yield "the shared units that run are miscounted"
