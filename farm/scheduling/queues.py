"""The jobs that can start a unit of one lane on one device, in the order they are served.

The jobs of an owner that have one priority wait in a line of their own, and the first of each line
waits in a heap of all. When an owner comes to hold more workers or fewer, only these first places
change, however many jobs the owner has.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

from farm.scheduling.jobs import Place, ScheduledJob
from farm.scheduling.owners import Owner
from farm.scheduling.units import Lane

_SPARE: Final = 64
"""Places that are no longer true and may stay in a heap, beside one for each that is."""

_Waiting = tuple[int, float, str]
"""A place in a line: workers that the job holds, since when it is queued, and its id."""


@dataclass(eq=False, slots=True)
class _Line:
    """The jobs of one owner that have one priority.

    heap: of their places, in which those that are no longer true stay for a while. most: places in
    it before they are looked through. place: of the first one among the jobs of all owners.
    """

    owner: Owner
    urgency: int
    heap: list[_Waiting] = field(default_factory=list)
    most: int = _SPARE
    place: Place | None = None


class JobQueue:
    """A queue of jobs. Whoever changes a job, or what its owner holds, calls update or touch_owner."""

    def __init__(self, lane: Lane, device: str, jobs: Mapping[str, ScheduledJob]) -> None:
        self.lane, self.device, self._jobs = lane, device, jobs
        self._firsts: list[tuple[Place, int, _Line]] = []
        self._most_firsts = _SPARE
        self._numbers = count()
        self._lines: dict[str, dict[int, _Line]] = {}
        self._waiting: dict[str, tuple[_Waiting, _Line]] = {}

    def __contains__(self, job: object) -> bool:
        return job in self._waiting

    def update(self, job: ScheduledJob) -> bool:
        """Let a job wait here, in the place that it has now, or no longer; return whether it waits."""
        name = job.job.id
        if not self._may_wait(job):
            self.remove(name)
            return False
        known = self._waiting.get(name)
        waiting, urgency = (job.held, job.queued_since, name), -job.job.spec.priority
        if known is None or known[0] != waiting or known[1].urgency != urgency:
            self._enter(job.owner, urgency, waiting)
            if known and known[1].urgency != urgency:
                self._offer(known[1])
        return True

    def remove(self, name: str) -> None:
        """Let a job wait no longer."""
        if known := self._waiting.pop(name, None):
            self._offer(known[1])

    def touch_owner(self, owner: str) -> None:
        """Note that an owner's jobs hold more workers than before, or fewer."""
        if lines := self._lines.get(owner):
            for line in [*lines.values()]:
                if line.place is None or line.place.owner_held != line.owner.held:
                    self._offer(line)

    def is_shared_by(self, owner: str) -> bool:
        """Return whether jobs of an owner wait beside those of others."""
        return owner in self._lines and len(self._lines) > 1

    def first(self) -> Place | None:
        """Return the place of the first job, None if no job can start a unit."""
        firsts = self._firsts
        while firsts:
            place, _, line = firsts[0]
            if line.place is place:
                return place
            heappop(firsts)
        return None

    def pop(self) -> Place:
        """Remove the first job and return its place. Call first before."""
        place, _, _ = heappop(self._firsts)
        self.remove(place.job)
        return place

    def put_back(self, place: Place) -> None:
        """Let a job wait again in the place that it was removed from, if it still can start a unit."""
        job = self._jobs.get(place.job)
        if job and place.job not in self._waiting and self._may_wait(job):
            self._enter(job.owner, place.urgency, (place.held, place.since, place.job))

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

    def _enter(self, owner: Owner, urgency: int, waiting: _Waiting) -> None:
        lines = self._lines.setdefault(owner.name, {})
        line = lines.get(urgency)
        if line is None:
            line = lines[urgency] = _Line(owner, urgency)
        self._waiting[waiting[-1]] = waiting, line
        heappush(line.heap, waiting)
        if len(line.heap) > line.most:
            known = self._waiting
            line.heap = sorted({one for one in line.heap if known.get(one[-1]) == (one, line)})
            line.most = 2 * len(line.heap) + _SPARE
        self._offer(line)

    def _offer(self, line: _Line) -> None:
        """Let the first job of a line wait among those of all owners."""
        heap, known = line.heap, self._waiting
        while heap and known.get(heap[0][-1]) != (heap[0], line):
            heappop(heap)
        if heap:
            place = Place(line.urgency, line.owner.held, *heap[0])
            if place != line.place:
                line.place = place
                self._push_first(place, line)
            return
        line.place = None
        lines = self._lines.get(line.owner.name, {})
        if lines.get(line.urgency) is line:
            del lines[line.urgency]
            if not lines:
                del self._lines[line.owner.name]

    def _push_first(self, place: Place, line: _Line) -> None:
        heappush(self._firsts, (place, next(self._numbers), line))
        if len(self._firsts) > self._most_firsts:
            self._firsts = [first for first in self._firsts if first[2].place is first[0]]
            heapify(self._firsts)
            self._most_firsts = 2 * len(self._firsts) + _SPARE

    def _may_wait(self, job: ScheduledJob) -> bool:
        return job.can_start(self.lane) and queue_device(job, self.lane) == self.device

    # Invariants

    def problems(self) -> Iterator[str]:
        """Yield an inconsistency if the first job is not the one that comes before all others."""
        waiting = [self._jobs[name] for name in self._waiting if name in self._jobs]
        if len(waiting) < len(self._waiting) or not all(map(self._may_wait, waiting)):
            yield f"a job in the queue {self.lane} {self.device!r} cannot start a unit"
        if min((job.order for job in waiting), default=None) != self.first():
            yield f"the first job of the queue {self.lane} {self.device!r} is not served first"


def queue_device(job: ScheduledJob, lane: Lane) -> str:
    """Return the device that the units of a lane need; finishing needs none."""
    return "" if lane is Lane.FINISH else job.job.device
