"""Which worker gets which unit next.

After every event, no idle worker could run any ready unit. So only two things can change that: a
worker that has become idle, and a job that has changed. Nothing else is looked at.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from typing import Final

from farm.model.unit import Role
from farm.scheduling.blocklist import Blocklist
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import allowed, is_same_device, may_try
from farm.scheduling.units import UnitEntry
from farm.scheduling.workers import Worker, Workers

Place = tuple[int, int, float, str]
"""ScheduledJob.order: the smallest is served first."""

_ROLES: Final = tuple(Role)

Match = tuple[Worker, ScheduledJob, UnitEntry]


class JobQueue:
    """The jobs that can start a unit of one role on one device, in the order they are served.

    A place that is no longer true stays in the heap until it comes to the front.
    """

    def __init__(self, role: Role, device: str, jobs: Mapping[str, ScheduledJob]) -> None:
        self.role, self._device, self._jobs = role, device, jobs
        self._heap: list[Place] = []
        self._places: set[Place] = set()

    def add(self, job: ScheduledJob) -> None:
        self.put_back(job.order)

    def put_back(self, place: Place) -> None:
        if place not in self._places:
            self._places.add(place)
            heappush(self._heap, place)

    def first(self) -> Place | None:
        """Return the place of the first job, None if no job can start a unit."""
        while self._heap:
            if self._is_true(self._heap[0]):
                return self._heap[0]
            self.pop()
        return None

    def pop(self) -> Place:
        place = heappop(self._heap)
        self._places.remove(place)
        return place

    def contains(self, job: ScheduledJob) -> bool:
        return job.order in self._places

    def _is_true(self, place: Place) -> bool:
        job = self._jobs.get(place[3])
        return (
            job is not None
            and job.can_start(self.role)
            and queue_device(job, self.role) == self._device
            and job.order == place
        )


def queue_device(job: ScheduledJob, role: Role) -> str:
    """Return the device that the units of a role need; finishing needs none."""
    return job.job.device if role is Role.RENDER else ""


class Placement:
    """Matches idle workers with the jobs that can start a unit.

    jobs: those that have not ended, by id.
    """

    def __init__(
        self, workers: Workers, jobs: Mapping[str, ScheduledJob], blocklist: Blocklist
    ) -> None:
        self._workers, self._jobs, self._blocklist = workers, jobs, blocklist
        finishing = JobQueue(Role.FINISH, "", jobs)
        self._queues = {(Role.FINISH, ""): finishing}
        self._fresh: OrderedDict[str, Worker] = OrderedDict()
        self._touched: dict[str, ScheduledJob] = {}
        self._has_more = False

    def touch_worker(self, worker: Worker) -> None:
        """Note that a worker has become idle."""
        self._fresh[worker.name] = worker

    def touch_job(self, job: ScheduledJob) -> None:
        """Note that a job, or which workers may serve it, has changed."""
        self._touched[job.job.id] = job

    def touch_all_workers(self) -> None:
        """Note that idle workers may serve more jobs than before, as when another one is gone."""
        for group in self._workers.idle_groups():
            self._fresh.update(group)

    def matches(self, now: float) -> Iterator[Match]:
        """Yield workers with the unit that each gets; the caller leases it before the next one.

        The unit is out of its job's queue then.
        """
        while True:
            self._queue_touched()
            if not self._workers.idle:
                self._fresh.clear()
                self._has_more = False
                return
            if self._has_more:
                self._has_more = False
                for group in self._workers.idle_groups():
                    yield from self._match_group(group, now)
            elif self._fresh:
                _, worker = self._fresh.popitem(last=False)
                if self._workers.is_idle(worker) and (match := self._match(worker, now)):
                    yield match
            else:
                return

    def _queue_touched(self) -> None:
        """Put each changed job into its queues, and note whether any can start a unit."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        for job in touched.values():
            for role in _ROLES if job.job.id in self._jobs else ():
                if job.can_start(role):
                    self._queue(role, queue_device(job, role)).add(job)
                    self._has_more = True

    def _queue(self, role: Role, device: str) -> JobQueue:
        if (role, device) not in self._queues:
            self._queues[role, device] = JobQueue(role, device, self._jobs)
        return self._queues[role, device]

    def _match_group(self, group: Mapping[str, Worker], now: float) -> Iterator[Match]:
        """Yield matches for idle workers that may serve the same jobs, as long as there are jobs."""
        refused: set[str] = set()
        while worker := next((w for w in group.values() if w.name not in refused), None):
            self._queue_touched()
            if match := self._match(worker, now):
                yield match
            elif any(queue.first() for queue in self._queues_for(worker)):
                refused.add(worker.name)
            else:
                return

    def _queues_for(self, worker: Worker) -> list[JobQueue]:
        """Return the queues of the jobs that a worker may serve, finishing before rendering."""
        return [
            queue
            for (role, device), queue in self._queues.items()
            if self._workers.may_serve(worker, role)
            and (role is Role.FINISH or is_same_device(device, worker.device))
        ]

    def _match(self, worker: Worker, now: float) -> Match | None:
        """Return the worker with the first unit that it may run; None if there is none."""
        queues, seen = self._queues_for(worker), list[tuple[JobQueue, Place]]()
        entry = None
        while entry is None and (queue := _first(queues)):
            seen.append((queue, queue.pop()))
            job = self._jobs[seen[-1][1][-1]]
            entry = self._take(worker, job, queue.role, now)
        for queue, place in seen:
            queue.put_back(place)
        return (worker, job, entry) if entry else None

    def _take(self, worker: Worker, job: ScheduledJob, role: Role, now: float) -> UnitEntry | None:
        """Take the first ready unit of a role that this worker may run from its job's queue."""
        pool = self._pool(job, role, now)
        is_blocked = worker.name in self._blocklist.blocked(job.job.id, now)
        if is_blocked and worker.name not in pool():
            return None

        def accept(entry: UnitEntry) -> bool:
            return worker.name not in entry.tried_on or may_try(worker.name, entry.tried_on, pool())

        return job.take_ready(role, accept)

    def _pool(self, job: ScheduledJob, role: Role, now: float) -> Callable[[], frozenset[str]]:
        """Return a function that lists the workers that may run units of a job."""

        def pool() -> frozenset[str]:
            serving = self._workers.serving(role, job.job.device)
            return allowed(serving, self._blocklist.blocked(job.job.id, now))

        return pool

    # Invariants

    def problems(self, now: float) -> Iterator[str]:
        """Yield every job that is missing from a queue, and every unit that waits for nothing."""
        for job in self._jobs.values():
            for role in _ROLES:
                if not job.can_start(role):
                    continue
                device = queue_device(job, role)
                if not self._queue(role, device).contains(job):
                    yield f"{job.job.id} can start a unit but waits in no queue"
                yield from self._idle_beside(job, role, now)

    def _idle_beside(self, job: ScheduledJob, role: Role, now: float) -> Iterator[str]:
        """Yield the idle workers that may run a ready unit."""
        pool = self._pool(job, role, now)()
        for group in self._workers.idle_groups():
            for name in group.keys() & pool:
                if any(may_try(name, entry.tried_on, pool) for entry in job.ready(role)):
                    yield f"{name} is idle beside a ready unit of {job.job.id}"


def _first(queues: list[JobQueue]) -> JobQueue | None:
    """Return the queue whose first job is served first."""
    first, earliest = None, None
    for queue in queues:
        place = queue.first()
        if place is not None and (earliest is None or place < earliest):
            first, earliest = queue, place
    return first
