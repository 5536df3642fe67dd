"""The jobs that can start a unit of one lane on one device, in the order they are served."""

from collections.abc import Generator, Mapping
from heapq import heappop, heappush

from farm.scheduling.jobs import Place, ScheduledJob
from farm.scheduling.units import Lane


class JobQueue:
    """A queue of jobs. A place that is no longer true stays in it until it comes to the front."""

    def __init__(self, lane: Lane, device: str, jobs: Mapping[str, ScheduledJob]) -> None:
        self.lane, self.device, self._jobs = lane, device, jobs
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

    def in_order(self) -> Generator[ScheduledJob, None, None]:
        """Yield the jobs in their order, for as long as the caller asks; none leaves the queue."""
        seen: list[Place] = []
        try:
            while place := self.first():
                seen.append(self.pop())
                yield self._jobs[place[-1]]
        finally:
            for place in seen:
                self.put_back(place)

    def _is_true(self, place: Place) -> bool:
        job = self._jobs.get(place[3])
        return (
            job is not None
            and job.can_start(self.lane)
            and queue_device(job, self.lane) == self.device
            and job.order == place
        )


def queue_device(job: ScheduledJob, lane: Lane) -> str:
    """Return the device that the units of a lane need; finishing needs none."""
    return "" if lane is Lane.FINISH else job.job.device
