"""Plans jobs beside the control loop: to read a long film takes minutes."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from math import inf
from queue import PriorityQueue
from threading import Lock, Thread
from typing import Final

from farm.model.events import Notice, ReadProgress
from farm.model.job import Job
from farm.planning.submission import Notify, Planner, Submission

__all__ = ["PlanningThreads"]

THREADS: Final = 2
"""So that a picture does not wait for a long film."""

Plan = Callable[[Planner], Submission]
Planned = Callable[[Future[Submission]], None]
Hear = Callable[[str, ReadProgress | Notice], None]

_Place = tuple[float, int, int]
"""The smallest is planned first: urgency, jobs of its owner before it, and a number of its own."""


class PlanningThreads:
    """Threads that plan one job each at a time, and start when they are needed.

    Jobs are planned by their priority, then in turns of their owners, then as they came. make_planner:
    called once for each thread. hear: receives, in that thread, what planning a job says, and may
    raise an error to end it. A process that ends does not wait for its threads.
    """

    def __init__(self, make_planner: Callable[[Notify], Planner], hear: Hear) -> None:
        self._make_planner, self._hear = make_planner, hear
        self._waiting: PriorityQueue[tuple[_Place, Callable[[Planner], None], Job | None]]
        self._waiting = PriorityQueue()
        self._numbers, self._of_owner, self._lock = count(), Counter[str](), Lock()
        self._threads: list[Thread] = []
        self._is_closed = False

    def plan(self, job: Job, plan: Plan, planned: Planned) -> None:
        """Let a thread plan a job. planned: receives the outcome, in that thread."""
        owner = job.spec.owner
        with self._lock:
            place = -job.spec.priority, self._of_owner[owner], next(self._numbers)
            self._of_owner[owner] += 1
        self._waiting.put((place, lambda planner: _plan(planner, plan, planned), job))
        if len(self._threads) < THREADS:
            thread = Thread(target=self._work, name="farm-planning", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Plan none of the jobs that wait, and let the threads end."""
        self._is_closed = True
        for _ in self._threads:
            self._waiting.put(((inf, 0, next(self._numbers)), lambda _planner: None, None))

    def _work(self) -> None:
        name = ""
        planner = self._make_planner(lambda event: self._hear(name, event))
        while True:
            _, plan, job = self._waiting.get()
            if job is None:
                return
            name = job.id
            if not self._is_closed:
                plan(planner)
            self._leave(job.spec.owner)

    def _leave(self, owner: str) -> None:
        with self._lock:
            self._of_owner -= Counter({owner: 1})  # which drops an owner without any


def _plan(planner: Planner, plan: Plan, planned: Planned) -> None:
    outcome: Future[Submission] = Future()
    try:
        outcome.set_result(plan(planner))
    except BaseException as error:  # noqa: BLE001 - the submission fails, not the farm
        outcome.set_exception(error)
    planned(outcome)
