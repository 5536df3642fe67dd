"""Plans jobs beside the control loop: to read a long film takes minutes."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import Final

from farm.model.events import Notice, ReadProgress
from farm.planning.submission import Notify, Planner, Submission

__all__ = ["PlanningThreads"]

THREADS: Final = 2
"""So that a picture does not wait for a long film."""

Plan = Callable[[Planner], Submission]
Planned = Callable[[Future[Submission]], None]
Hear = Callable[[str, ReadProgress | Notice], None]


class PlanningThreads:
    """Threads that plan one job each at a time, and start when they are needed.

    make_planner: called once for each thread. hear: receives, in that thread, what planning a job says,
    and may raise an error to end it. A process that ends does not wait for its threads.
    """

    def __init__(self, make_planner: Callable[[Notify], Planner], hear: Hear) -> None:
        self._make_planner, self._hear = make_planner, hear
        self._waiting: SimpleQueue[tuple[str, Plan, Planned] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._is_closed = False

    def plan(self, job: str, plan: Plan, planned: Planned) -> None:
        """Let a thread plan a job. planned: receives the outcome, in that thread."""
        self._waiting.put((job, plan, planned))
        if len(self._threads) < THREADS:
            thread = Thread(target=self._work, name="farm-planning", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Plan none of the jobs that wait, and let the threads end."""
        self._is_closed = True
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        job = ""
        planner = self._make_planner(lambda event: self._hear(job, event))
        while waiting := self._waiting.get():
            job, plan, planned = waiting
            if not self._is_closed:
                _plan(planner, plan, planned)


def _plan(planner: Planner, plan: Plan, planned: Planned) -> None:
    outcome: Future[Submission] = Future()
    try:
        outcome.set_result(plan(planner))
    except BaseException as error:  # noqa: BLE001 - the submission fails, not the farm
        outcome.set_exception(error)
    planned(outcome)
