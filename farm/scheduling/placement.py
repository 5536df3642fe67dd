"""Which worker gets which unit next.

After every event, no idle worker could run any ready unit, and workers are set aside only for a
shared unit. So only two things can change that: a worker that has become idle, and a job that has
changed. Nothing else is looked at.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from farm.model.unit import Role
from farm.scheduling.blocklist import Blocklist
from farm.scheduling.gathering import Limit
from farm.scheduling.gatherings import Gatherings
from farm.scheduling.jobs import Place, ScheduledJob
from farm.scheduling.policy import allowed, is_same_device, may_try
from farm.scheduling.queues import JobQueue, queue_device
from farm.scheduling.units import Lane, UnitEntry
from farm.scheduling.workers import Group, Lease, Worker, Workers

_SINGLE: Final = (Lane.RENDER, Lane.FINISH)

Match = tuple[tuple[Worker, ...], ScheduledJob, UnitEntry]


class Placement:
    """Matches idle workers with the jobs that can start a unit.

    jobs: those that have not ended, by id.
    """

    def __init__(
        self, workers: Workers, jobs: Mapping[str, ScheduledJob], blocklist: Blocklist
    ) -> None:
        self._workers, self._jobs, self._blocklist = workers, jobs, blocklist
        self.gatherings = Gatherings(workers, jobs, blocklist)
        self._queues: dict[tuple[Lane, str], JobQueue] = {}
        self._queues_of: dict[tuple[Group, bool], list[JobQueue]] = {}
        self._fresh: OrderedDict[str, Worker] = OrderedDict()
        self._touched: dict[str, ScheduledJob] = {}
        self._has_more = False

    def touch_worker(self, worker: Worker) -> None:
        """Note that a worker has become idle."""
        self._fresh[worker.name] = worker

    def touch_job(self, job: ScheduledJob) -> None:
        """Note that a job, or which workers may serve it, has changed."""
        self._touched[job.job.id] = job

    def touch_workers(self) -> None:
        """Note that a worker has joined or is gone, so that others may serve more jobs than before."""
        self._has_more = True
        self.gatherings.touch_sizes()

    @property
    def has_news(self) -> bool:
        """Whether anything has changed since units were last matched with workers."""
        return bool(self._touched or self._fresh or self._has_more or self.gatherings.have_changed)

    def matches(self, now: float) -> Iterator[Match]:
        """Yield workers with the unit that they get; the caller leases it before the next one.

        The unit is out of its job's queue then. Workers that have just become idle choose first, so
        that each can go on with the film that it has open.
        """
        while True:
            self._queue_touched()
            if (fresh := self.gatherings.refresh(now)) is not None:
                self._fresh.update((worker.name, worker) for worker in fresh)
                self._has_more = True
            if not self._workers.free:
                self._fresh.clear()
                self._has_more = False
                return
            if match := self._match_gang():
                yield match
            elif self._fresh:
                _, worker = self._fresh.popitem(last=False)
                if self._workers.is_idle(worker) and (match := self._serve(worker, now)):
                    yield match
            elif self._has_more:
                self._has_more = False
                for group in self._workers.groups():
                    yield from self._match_idle(group, now)
                    yield from self._match_aside(group, now)
            else:
                return

    def someone_waits(self, lease: Lease, since: float) -> bool:
        """Return whether a job has waited for workers of a lease all the time since, with none.

        Its priority is that of the lease or higher. Only the first jobs in the queues are looked at.
        """
        group = lease.lead.group
        places = [queue.first() for queue in self._queues_for(group)]
        gathering = self.gatherings.of(group)
        places += [gathering.job.order] if gathering.job else []
        return any(
            place is not None
            and place.urgency <= -lease.priority
            and place.held == 0
            and self._jobs[place.job] is not lease.job
            and self._jobs[place.job].idle_since <= since
            for place in places
        )

    def is_wanted(self, group: Group, priority: int) -> bool:
        """Return whether a unit of this priority waits for a single worker of a group."""
        places = (queue.first() for queue in self._queues_for(group))
        return any(place is not None and place.urgency == -priority for place in places)

    def _queue_touched(self) -> None:
        """Put each changed job into its queues, and note whether any can start a unit."""
        if not self._touched:
            return
        touched = [*reversed(self._touched.values())]
        self._touched.clear()
        for job in touched:
            self._queue_job(job)
            if Lane.SHARED in job.lanes:
                self.gatherings.touch_job(job)
        for owner in {job.owner.name for job in touched}:
            for queue in self._queues.values():
                queue.touch_owner(owner)
            self.gatherings.touch_owner(owner)

    def _queue_job(self, job: ScheduledJob) -> None:
        """Put a job into its queues, or take it out of those that it is in."""
        if job.job.id not in self._jobs:
            for queue in self._queues.values():
                queue.remove(job.job.id)
            return
        for lane in _SINGLE:
            if lane not in job.lanes:
                continue
            device = queue_device(job, lane)
            own = self._queues.get((lane, device))
            if own is None and job.can_start(lane):
                own = self._queue(lane, device)
            if own is not None and own.update(job):
                self._has_more = True
            if device and (lane, "") in self._queues:
                self._queues[lane, ""].remove(job.job.id)

    def _queue(self, lane: Lane, device: str) -> JobQueue:
        queue = self._queues.get((lane, device))
        if queue is None:
            queue = self._queues[lane, device] = JobQueue(lane, device, self._jobs)
            self._queues_of.clear()
        return queue

    def _queues_for(self, group: Group) -> list[JobQueue]:
        """Return the queues of the jobs that a group may serve, finishing before rendering."""
        key = group, self._workers.finishing > 0
        if key not in self._queues_of:
            self._queues_of[key] = [
                queue
                for (lane, device), queue in sorted(self._queues.items(), key=_finishing_first)
                if self._workers.may_serve(group, _role(lane))
                and (lane is Lane.FINISH or is_same_device(device, group.device))
            ]
        return self._queues_of[key]

    def _match_gang(self) -> Match | None:
        """Return the workers that have been gathered with their unit, if any are complete."""
        gathering = self.gatherings.complete()
        if gathering is None or gathering.job is None:
            return None
        first = gathering.job.first_shared()
        entry = gathering.job.take_ready(Lane.SHARED, -1, lambda one: one is first)
        assert entry
        workers = tuple(gathering.group.aside.values())[: gathering.need]
        return workers, gathering.job, entry

    def _serve(self, worker: Worker, now: float) -> Match | None:
        """Return an idle worker with the unit that it gets; set it aside if a gathering comes first."""
        gathering = self.gatherings.wanting(worker)
        if gathering is None:
            return self._match(worker, None, now)
        limit = gathering.limit()
        match = self._match(worker, limit, now)
        if match is None:
            gathering.has_begun |= limit is not None
            self._workers.set_aside(worker, now)
        return match

    def _match_idle(self, group: Group, now: float) -> Iterator[Match]:
        """Yield matches for the idle workers of a group, as long as there are jobs."""
        if not group.idle or not self._is_first_before(group, None):
            return
        for worker in list(group.idle.values()):
            self._queue_touched()
            if match := self._match(worker, None, now):
                yield match
            elif not self._is_first_before(group, None):
                return

    def _match_aside(self, group: Group, now: float) -> Iterator[Match]:
        """Yield matches for workers set aside, with the jobs that come before the gathering."""
        if not group.aside:
            return
        gathering = self.gatherings.of(group)
        for worker in list(group.aside.values()):
            self._queue_touched()
            limit = gathering.limit()
            if worker.name not in group.aside or not self._is_first_before(group, limit):
                break
            if match := self._match(worker, limit, now):
                yield match
        if group.aside and gathering.limit() is not None:
            gathering.has_begun = True

    def _is_first_before(self, group: Group, limit: Limit | None) -> bool:
        places = [place for queue in self._queues_for(group) if (place := queue.first())]
        return bool(places) and (limit is None or min(places) < limit)

    def _match(self, worker: Worker, limit: Limit | None, now: float) -> Match | None:
        """Return the worker with the first unit that it may run; None if there is none."""
        queues = self._queues_for(worker.group)
        seen: list[tuple[JobQueue, Place]] = []
        match: Match | None = None
        first = _first(queues, limit)
        if first and (job := self._stay(worker, first)):
            match = self._take(worker, job, Lane.RENDER, now)
        while match is None and first and (place := first.first()):
            match = self._take(worker, self._jobs[place.job], first.lane, now)
            if match is None:
                seen.append((first, first.pop()))
                first = _first(queues, limit)
        for queue, place in seen:
            queue.put_back(place)
        return match

    def _stay(self, worker: Worker, queue: JobQueue) -> ScheduledJob | None:
        """Return the job of the film that a worker has open, if it may go on with it for now.

        It may as long as its stretch goes on and no other job holds fewer workers, or none at all, nor
        do those of another owner.
        """
        name, stretch = worker.near
        if stretch < 0:
            return None
        job, first = self._jobs.get(name), queue.first()
        if job is None or first is None or first.job == name or not first.held:
            return None
        is_fair = job.order[:3] <= first[:3] and job.can_start(Lane.RENDER)
        return job if is_fair and job.goes_on(stretch) else None

    def _take(self, worker: Worker, job: ScheduledJob, lane: Lane, now: float) -> Match | None:
        """Take the ready unit of a lane that this worker gets from its job's queue."""
        name = job.job.id
        is_blocked = self._blocklist.is_blocked(name, worker.name, now)
        if is_blocked and not self._have_all_tried(frozenset(), job, lane, now):
            return None

        def accept(entry: UnitEntry) -> bool:
            tried_on = entry.tried_on
            return worker.name not in tried_on or self._have_all_tried(tried_on, job, lane, now)

        near_job, stretch = worker.near
        near = stretch if near_job == name and lane is Lane.RENDER else -1
        entry = None
        if (hold := job.hold) and hold.serves_others:
            entry = job.take_ready(lane, near, lambda one: one.held_after < 0 and accept(one))
        if hold and not entry:
            entry = job.take_ready(lane, near, lambda one: one is not hold.cause and accept(one))
        entry = entry or job.take_ready(lane, near, accept)
        return ((worker,), job, entry) if entry else None

    def _have_all_tried(
        self, tried_on: frozenset[str], job: ScheduledJob, lane: Lane, now: float
    ) -> bool:
        """Return whether a unit failed on all workers that may run units of a job and are not blocked.

        Without any that it failed on: whether all are blocked. This counts what may_try compares.
        """
        groups = self._workers.serving(lane, job.job.device)
        count = sum(len(group.members) for group in groups)
        blocked = _among(groups, self._blocklist.blocked(job.job.id, now))
        if len(blocked) == count:
            return not tried_on or len(_among(groups, tried_on)) == count
        return len(_among(groups, tried_on) - blocked) == count - len(blocked)

    def _pool(self, job: ScheduledJob, lane: Lane, now: float) -> frozenset[str]:
        """Return the workers that may run units of a job."""
        groups = self._workers.serving(lane, job.job.device)
        serving = [name for group in groups for name in group.members]
        return allowed(serving, self._blocklist.blocked(job.job.id, now))

    # Invariants

    def problems(self, now: float) -> Iterator[str]:
        """Yield every job that is missing from a queue, and every unit that waits for nothing."""
        yield from self.gatherings.problems()
        for queue in self._queues.values():
            yield from queue.problems()
        for job in self._jobs.values():
            for lane in _SINGLE:
                if not job.can_start(lane):
                    continue
                if job.job.id not in self._queue(lane, queue_device(job, lane)):
                    yield f"{job.job.id} can start a unit but waits in no queue"
                yield from self._idle_beside(job, lane, now)

    def _idle_beside(self, job: ScheduledJob, lane: Lane, now: float) -> Iterator[str]:
        """Yield the workers that are idle, or set aside for what comes later, and may run a unit."""
        pool = self._pool(job, lane, now)
        for group in self._workers.groups():
            limit = self.gatherings.of(group).limit()
            is_before = limit is None or job.order < limit
            waiting = group.idle.keys() | (group.aside.keys() if is_before else set())
            for name in waiting & pool:
                if any(may_try(name, entry.tried_on, pool) for entry in job.ready(lane)):
                    yield f"{name} is idle beside a ready unit of {job.job.id}"


def _among(groups: list[Group], names: Iterable[str]) -> set[str]:
    return {name for name in names if any(name in group.members for group in groups)}


def _role(lane: Lane) -> Role:
    return Role.FINISH if lane is Lane.FINISH else Role.RENDER


def _finishing_first(item: tuple[tuple[Lane, str], JobQueue]) -> bool:
    return item[0][0] is not Lane.FINISH


def _first(queues: list[JobQueue], limit: Limit | None) -> JobQueue | None:
    """Return the queue whose first job is served first, if it comes before the limit."""
    first, earliest = None, limit
    for queue in queues:
        place = queue.first()
        if place is not None and (earliest is None or place < earliest):
            first, earliest = queue, place
    return first
