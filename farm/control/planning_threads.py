"""Plans jobs beside the control loop: to read a long film takes minutes."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import count
from threading import Condition, Thread
from typing import Final

from farm.control.turns import Place, Turns
from farm.model.events import Notice, ReadProgress
from farm.model.job import Job
from farm.planning.short_jobs import is_short
from farm.planning.submission import Notify, Planner, Submission

__all__ = ["PlanningThreads"]

THREADS: Final = 2
SHORT_THREADS: Final = 1
"""Threads beside the others for short jobs, so that no picture waits for long films."""

Plan = Callable[[Planner], Submission]
Planned = Callable[[Future[Submission]], None]
Hear = Callable[[str, ReadProgress | Notice], None]


@dataclass(eq=False)
class _Waiting:
    """A job that waits to be planned. before: jobs of its owner that came first. number: rises."""

    job: Job
    before: int
    number: int
    is_short: bool
    plan: Plan
    planned: Planned

    @property
    def place(self) -> Place:
        return -self.job.spec.priority, self.before, self.number


class PlanningThreads:
    """Threads that plan one job each at a time.

    Jobs are planned by their priority, then in turns of their owners, then as they came. Short ones
    have threads of their own as well. make_planner: called once for each thread. hear: receives, in that
    thread, what planning a job says, and may raise an error to end it. A process that ends does not
    wait for its threads.
    """

    def __init__(self, make_planner: Callable[[Notify], Planner], hear: Hear) -> None:
        self._make_planner, self._hear = make_planner, hear
        self._waiting: dict[str, _Waiting] = {}
        self._turns, self._short_turns = Turns(), Turns()
        self._numbers, self._of_owner = count(), Counter[str]()
        self._changed, self._is_closed = Condition(), False
        self._threads: list[Thread] = []

    def plan(self, job: Job, plan: Plan, planned: Planned) -> None:
        """Let a thread plan a job. planned: receives the outcome, in that thread."""
        owner = job.spec.owner
        with self._changed:
            before, number = self._of_owner[owner], next(self._numbers)
            self._put(_Waiting(job, before, number, is_short(job.spec), plan, planned))
            self._of_owner[owner] += 1
            self._changed.notify_all()
        if not self._threads:
            self._start()

    def prioritise(self, job: Job) -> None:
        """Give a job that waits the place of its new priority."""
        with self._changed:
            if waiting := self._waiting.get(job.id):
                waiting.job = job
                self._put(waiting)

    def drop(self, name: str) -> None:
        """Do not plan a job, if it still waits."""
        with self._changed:
            if name in self._waiting:
                self._leave(self._take(name))

    def close(self) -> None:
        """Plan none of the jobs that wait, and let the threads end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _start(self) -> None:
        for is_for_short in (*[False] * THREADS, *[True] * SHORT_THREADS):
            thread = Thread(
                target=self._work, args=(is_for_short,), name="farm-planning", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _work(self, is_for_short: bool) -> None:  # noqa: FBT001 - called by Thread
        name = ""
        planner = self._make_planner(lambda event: self._hear(name, event))
        while waiting := self._next(is_for_short=is_for_short):
            name = waiting.job.id
            waiting.planned(_outcome(waiting.plan, planner))
            with self._changed:
                self._leave(waiting)

    def _next(self, *, is_for_short: bool) -> _Waiting | None:
        """Wait for a job and take it; return None if there will be no more."""
        with self._changed:
            while not self._is_closed:
                first = (self._short_turns if is_for_short else self._turns).first()
                if first is not None:
                    return self._take(first)
                self._changed.wait()
        return None

    def _put(self, waiting: _Waiting) -> None:
        """Let a job wait in its place."""
        name = waiting.job.id
        self._waiting[name] = waiting
        self._turns.put(name, waiting.place)
        if waiting.is_short:
            self._short_turns.put(name, waiting.place)

    def _take(self, name: str) -> _Waiting:
        self._turns.remove(name)
        self._short_turns.remove(name)
        return self._waiting.pop(name)

    def _leave(self, waiting: _Waiting) -> None:
        owner = waiting.job.spec.owner
        self._of_owner[owner] -= 1
        if not self._of_owner[owner]:
            del self._of_owner[owner]


def _outcome(plan: Plan, planner: Planner) -> Future[Submission]:
    outcome: Future[Submission] = Future()
    try:
        outcome.set_result(plan(planner))
    except BaseException as error:  # noqa: BLE001 - the submission fails, not the farm
        outcome.set_exception(error)
    return outcome
