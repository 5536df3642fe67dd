"""Jobs on their way in: they are planned beside the control loop, and enter in it."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from farm.control.claimed_outputs import ClaimedOutputs
from farm.control.inbox import Inbox
from farm.control.planning_threads import PlanningThreads
from farm.errors import UserError
from farm.model.job import Job, JobSpec
from farm.planning.submission import Planner, Submission

__all__ = ["Submissions"]


class Submissions:
    """Jobs that have been submitted and have not entered yet.

    store: stores a planned job; raises UserError if it is refused. start: lets a stored job run.
    """

    def __init__(
        self,
        make_planner: Callable[[], Planner],
        claims: ClaimedOutputs,
        inbox: Inbox,
        store: Callable[[Submission], None],
        start: Callable[[Submission], Job],
    ) -> None:
        self._threads = PlanningThreads(make_planner)
        self._claims, self._inbox = claims, inbox
        self._store, self._start = store, start
        self._answers: dict[str, Future[Job]] = {}

    def __len__(self) -> int:
        return len(self._answers)

    def __contains__(self, name: object) -> bool:
        return name in self._answers

    def add(
        self, name: str, spec: JobSpec, created: float, answer: Future[Job], *, resume: bool
    ) -> None:
        """Let a job be planned, unless it is already. answer: receives the job."""
        if name in self._answers:
            self._answers[name].add_done_callback(partial(_pass_on, answer))
            return
        self._answers[name] = answer

        def plan(planner: Planner) -> Submission:
            return planner.plan(spec, created, resume=resume, name=name)

        self._threads.plan(plan, partial(self._hand_over, name))

    def refuse(self, name: str, error: BaseException) -> None:
        """Give up the outputs of a job that does not enter, and say why."""
        self._claims.release(name)
        self._answers.pop(name).set_exception(error)

    def close(self) -> None:
        """Refuse the jobs that have not entered."""
        self._threads.close()
        for name in list(self._answers):
            self.refuse(name, UserError("the farm has stopped; start it and submit the job again"))

    def _hand_over(self, name: str, planned: Future[Submission]) -> None:
        """Let the loop take a job that has been planned. Called in the thread that planned it."""
        if not self._inbox.post(partial(self._take, name, planned)):
            self._claims.release(name)

    def _take(self, name: str, planned: Future[Submission]) -> None:
        if name not in self._answers:
            return
        if error := planned.exception():
            self.refuse(name, error)
            return
        try:
            self._store(planned.result())
        except UserError as error:
            self.refuse(name, error)
            return
        answer = self._answers.pop(name)
        answer.set_result(self._start(planned.result()))


def _pass_on(to: Future[Job], answered: Future[Job]) -> None:
    if error := answered.exception():
        to.set_exception(error)
    else:
        to.set_result(answered.result())
