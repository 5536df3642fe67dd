"""The jobs that can start a unit of one lane on one device, in the order they are served.

The jobs of an owner that have one priority wait in a heap of their own, and the first of each heap
waits in a heap of all. When an owner comes to hold more workers or fewer, only these first places
change, however many jobs the owner has.
"""

from collections.abc import Generator, Iterator, Mapping
from heapq import heappop, heappush

from farm.scheduling.jobs import Place, ScheduledJob
from farm.scheduling.units import Lane

_Waiting = tuple[int, float, str]
"""The end of a place: what does not depend on the owner."""


class JobQueue:
    """A queue of jobs. A place that is no longer true stays in it until it comes to the front."""

    def __init__(self, lane: Lane, device: str, jobs: Mapping[str, ScheduledJob]) -> None:
        self.lane, self.device, self._jobs = lane, device, jobs
        self._firsts: list[Place] = []
        self._offered: set[Place] = set()
        self._of_owner: dict[str, dict[int, list[_Waiting]]] = {}
        self._waiting: set[tuple[int, str, _Waiting]] = set()

    def add(self, job: ScheduledJob) -> None:
        self.put_back(job.order)

    def put_back(self, place: Place) -> None:
        urgency, owner, waiting = place.urgency, place.owner, _end_of(place)
        if (urgency, owner, waiting) not in self._waiting:
            self._waiting.add((urgency, owner, waiting))
            heap = self._of_owner.setdefault(owner, {}).setdefault(urgency, [])
            heappush(heap, waiting)
            if heap[0] is waiting:
                self._offer(owner, urgency)

    def touch_owner(self, owner: str) -> None:
        """Note that an owner's jobs hold more workers than before, or fewer."""
        for urgency in tuple(self._of_owner.get(owner, ())):
            self._offer(owner, urgency)

    def first(self) -> Place | None:
        """Return the place of the first job, None if no job can start a unit."""
        while self._firsts:
            place = self._firsts[0]
            if self._is_true(place):
                return place
            self._offered.remove(heappop(self._firsts))
            self._offer(place.owner, place.urgency)
        return None

    def pop(self) -> Place:
        """Remove the first job and return its place. Call first before."""
        place = heappop(self._firsts)
        self._offered.remove(place)
        group, waiting = (place.urgency, place.owner), _end_of(place)
        while (*group, waiting) in self._waiting:
            one = heappop(self._of_owner[place.owner][place.urgency])
            self._waiting.remove((*group, one))
        self._offer(place.owner, place.urgency)
        return place

    def is_shared_by(self, owner: str) -> bool:
        """Return whether jobs of an owner wait beside those of others."""
        return owner in self._of_owner and len(self._of_owner) > 1

    def contains(self, job: ScheduledJob) -> bool:
        place = job.order
        return (place.urgency, place.owner, _end_of(place)) in self._waiting

    def in_order(self) -> Generator[ScheduledJob, None, None]:
        """Yield the jobs in their order, for as long as the caller asks; none leaves the queue."""
        seen: list[Place] = []
        try:
            while place := self.first():
                seen.append(self.pop())
                yield self._jobs[place.job]
        finally:
            for place in seen:
                self.put_back(place)

    def _offer(self, owner: str, urgency: int) -> None:
        """Let the first job of an owner with a priority wait among those of all owners."""
        of_owner = self._of_owner.get(owner, {})
        heap = of_owner.get(urgency, [])
        while heap and not self._is_true_end(owner, urgency, heap[0]):
            self._waiting.remove((urgency, owner, heappop(heap)))
        if heap:
            place = self._jobs[heap[0][-1]].order
            if place not in self._offered:
                self._offered.add(place)
                heappush(self._firsts, place)
        elif of_owner.pop(urgency, None) is not None and not of_owner:
            del self._of_owner[owner]

    def _is_true(self, place: Place) -> bool:
        job = self._startable(place.job)
        return job is not None and job.order == place

    def _is_true_end(self, owner: str, urgency: int, waiting: _Waiting) -> bool:
        job = self._startable(waiting[-1])
        if job is None:
            return False
        place = job.order
        return (place.owner, place.urgency, _end_of(place)) == (owner, urgency, waiting)

    def _startable(self, name: str) -> ScheduledJob | None:
        """Return a job if it can start a unit that is in this queue."""
        job = self._jobs.get(name)
        if job and job.can_start(self.lane) and queue_device(job, self.lane) == self.device:
            return job
        return None

    # Invariants

    def problems(self) -> Iterator[str]:
        """Yield an inconsistency if the first job is not the one that comes before all others."""
        waiting = {job for _, _, (_, _, job) in self._waiting}
        places = [job.order for name in waiting if (job := self._startable(name))]
        if min(places, default=None) != self.first():
            yield f"the first job of the queue {self.lane} {self.device!r} is not served first"


def _end_of(place: Place) -> _Waiting:
    return place.held, place.since, place.job


def queue_device(job: ScheduledJob, lane: Lane) -> str:
    """Return the device that the units of a lane need; finishing needs none."""
    return "" if lane is Lane.FINISH else job.job.device
