"""Jobs on their way in: stored at once, planned beside the control loop, and started in it."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Final

from farm import storage
from farm.control.claimed_outputs import ClaimedOutputs
from farm.control.inbox import Inbox
from farm.control.patience import Patience
from farm.control.planning_threads import PlanningThreads
from farm.control.succession import waits_for
from farm.errors import Cancelled, JobTakenOver, LedgerUnavailable, UserError
from farm.host.blame import with_type
from farm.ledger import Ledger
from farm.model.events import JobChanged, News, Notice, PriorityChanged, ReadProgress, WantedChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState, Wanted
from farm.planning.submission import Notify, Planner, Submission

__all__ = ["Submissions"]

LOOK_SECONDS: Final = 1.0
"""Time between two looks at the jobs that others wait for."""

Start = Callable[[Job, tuple[RestoredUnit, ...]], Job]
State = Callable[[str], JobState | None]


@dataclass(eq=False)
class _Coming:
    """A job that is being planned, or waits for others to complete before it is.

    answers: those who wait for it. is_resumed: it takes over what equal jobs have finished. is_kept:
    somebody knows the job, so that it is not removed if it is refused; before that, nothing is announced.
    """

    job: Job
    is_resumed: bool
    answers: list[Future[Job]] = field(default_factory=list)
    is_kept: bool = False


class Submissions:
    """Jobs that have been submitted and have not started yet. All are in the ledger.

    start: lets a planned job run. announce: receives what happens, in the loop's thread. state: of any
    job, None if it is not known any longer. now: Unix seconds.
    """

    def __init__(
        self,
        make_planner: Callable[[Notify], Planner],
        ledger: Ledger,
        claims: ClaimedOutputs,
        inbox: Inbox,
        patience: Patience,
        *,
        start: Start,
        announce: Callable[[News], None],
        state: State,
        now: Callable[[], float],
    ) -> None:
        self._threads = PlanningThreads(make_planner, self._hear)
        self._ledger, self._claims, self._inbox = ledger, claims, inbox
        self._patience, self._start, self._announce, self._now = patience, start, announce, now
        self._state, self._looked = state, float("-inf")
        self._later: dict[str, _Coming] = {}
        self._coming: dict[str, _Coming] = {}
        self._planned: deque[tuple[_Coming, Future[Submission]]] = deque()

    def __len__(self) -> int:
        return len(self._coming)

    def __contains__(self, name: object) -> bool:
        return name in self._coming

    def find(self, name: str) -> Job | None:
        """Return a job that is being planned, for any thread."""
        coming = self._coming.get(name)
        return coming.job if coming else None

    def waiting_for(self, name: str) -> list[str]:
        """Return the jobs that wait for a job to complete, for any thread."""
        return [
            later.job.id for later in list(self._later.values()) if name in later.job.spec.after
        ]

    def enter(self, job: Job, *, resume: bool, is_kept: bool = True) -> None:
        """Let a stored job be planned as soon as those that it names have completed.

        is_kept: it stays, with the reason, if it is refused.
        """
        coming = _Coming(job, is_resumed=resume, is_kept=is_kept or bool(job.spec.after))
        self._coming[job.id] = coming
        if job.spec.after:
            self._later[job.id] = coming
            self._note_earlier(coming, self._state)
        else:
            self._plan(coming)
        if coming.is_kept:
            self._announce(JobChanged(coming.job))

    def wait(self, name: str, answer: Future[Job]) -> None:
        """Let somebody wait until a job is planned. answer: receives the job, or why it is refused.

        Nobody waits for a job that itself waits for others.
        """
        coming = self._coming[name]
        if name in self._later:
            answer.set_result(coming.job)
        else:
            coming.answers.append(answer)

    def keep(self, answer: Future[Job]) -> None:
        """Answer somebody who waits with the job as it is: it stays, whatever planning brings."""
        for coming in self._coming.values():
            if answer in coming.answers:
                coming.answers.remove(answer)
                coming.is_kept = True
                self._announce(JobChanged(coming.job))
                answer.set_result(coming.job)

    def change(self, name: str, event: WantedChanged | PriorityChanged) -> Job:
        """Let a user change a job that is being planned; store it at once. Raises UserError."""
        try:
            return self._change(self._coming[name], event)
        except JobTakenOver as error:
            raise self._leave(name, error) from error

    def _change(self, coming: _Coming, event: WantedChanged | PriorityChanged) -> Job:
        job = _changed(coming.job, event)
        if job.wanted is not Wanted.CANCEL:
            self._store(job)
            coming.job, coming.is_kept = job, True
            self._threads.prioritise(job)
            self._announce(JobChanged(job))
            return job
        coming.job = job
        job, answers = self._end(job.id, JobState.CANCELLED, "cancelled")
        _answer(answers, job)
        return job

    def _leave(self, name: str, error: JobTakenOver) -> UserError:
        """Drop a job that another farm has taken over; return the answer to those who ask for it."""
        answer = UserError(f"{error}; ask that farm")
        for waiting in self._drop(name):
            waiting.set_exception(answer)
        return answer

    def lose(self, name: str, reason: str) -> None:
        """Give up a job whose outputs belong to another one by now, even if its plan waits to be stored."""
        lost: Future[Submission] = Future()
        lost.set_exception(UserError(f"{reason}; submit the job again"))
        self._planned.appendleft((self._coming[name], lost))

    def take_in(self) -> None:
        """Start the jobs that have been planned, as far as the ledger can be written.

        Now and then, plan those that have waited for others.
        """
        self._look_at_earlier()
        while self._planned:
            coming, planned = self._planned[0]
            if not self._patience.attempt(partial(self._store_outcome, coming, planned)):
                return
            self._planned.popleft()
            if self._is_there(coming):
                self._begin(coming, planned.result().units)

    def close(self) -> None:
        """Plan nothing more. What is not planned yet is planned by the next farm on this ledger."""
        self._threads.close()
        for name, coming in list(self._coming.items()):
            _answer(self._drop(name), coming.job)

    def _look_at_earlier(self) -> None:
        if not self._later or self._now() - self._looked < LOOK_SECONDS:
            return
        self._looked = self._now()
        state = cache(self._state)  # many may wait for one
        with suppress(LedgerUnavailable):
            for coming in list(self._later.values()):
                before = coming.job
                self._note_earlier(coming, state)
                if coming.job != before:
                    self._announce(JobChanged(coming.job))

    def _note_earlier(self, coming: _Coming, state: State) -> None:
        """Note what a job waits for; if it is nothing any more, let it be planned.

        state: of another job. A job that has been forgotten had ended.
        """
        states = {n: state(n) or JobState.COMPLETED for n in coming.job.spec.after}
        reason = waits_for(states)
        coming.job = replace(coming.job, reason=reason)
        if not reason:
            del self._later[coming.job.id]
            self._plan(coming)

    def _plan(self, coming: _Coming) -> None:
        job, resume = coming.job, coming.is_resumed

        def plan(planner: Planner) -> Submission:
            return planner.plan(job.spec, job.created, resume=resume, name=job.id)

        self._threads.plan(job, plan, partial(self._hand_over, coming))

    def _is_there(self, coming: _Coming) -> bool:
        """Return whether a job has neither started nor ended."""
        return self._coming.get(coming.job.id) is coming

    def _store_outcome(self, coming: _Coming, planned: Future[Submission]) -> None:
        """Store what has been planned, or end the job if it cannot start."""
        name = coming.job.id
        if not self._is_there(coming):
            self._claims.release(name)
            return
        try:
            if error := planned.exception():
                self._refuse(name, error)
            else:
                self._store_plan(coming, planned.result())
        except JobTakenOver as error:
            self._leave(name, error)

    def _store_plan(self, coming: _Coming, submission: Submission) -> None:
        job = _as_wanted(submission.job, coming.job, self._now())
        try:
            self._ledger.plan(job, submission.units, self._now(), submission.replaces)
        except LedgerUnavailable:
            raise
        except UserError as error:
            self._refuse(job.id, error)
        else:
            coming.job = job

    def _begin(self, coming: _Coming, units: tuple[RestoredUnit, ...]) -> None:
        del self._coming[coming.job.id]
        _answer(coming.answers, self._start(coming.job, units))

    def _refuse(self, name: str, error: BaseException) -> None:
        """End a job that cannot start, and say why. Nothing is left of one that nobody knows."""
        if self._coming[name].is_kept:
            _, answers = self._end(name, JobState.FAILED, _reason(error))
        else:
            self._ledger.withdraw(name)
            answers = self._drop(name)
        for answer in answers:
            answer.set_exception(error)

    def _end(self, name: str, state: JobState, reason: str) -> tuple[Job, list[Future[Job]]]:
        """Store and announce the end of a job; return it and those who wait for it."""
        job = replace(self._coming[name].job, state=state, reason=reason, since=self._now())
        self._store(job)
        answers = self._drop(name)
        self._announce(JobChanged(job))
        return job, answers

    def _store(self, job: Job) -> None:
        self._ledger.record([JobChanged(job)], self._now())

    def _drop(self, name: str) -> list[Future[Job]]:
        """Forget a job and give up its outputs; return those who wait for it."""
        coming = self._coming.pop(name)
        self._threads.drop(name)
        self._claims.release(name)  # only now: see Controller._claim_coming
        self._later.pop(name, None)
        return coming.answers

    # In the threads that plan

    def _hand_over(self, coming: _Coming, planned: Future[Submission]) -> None:
        if not self._inbox.post(partial(self._planned.append, (coming, planned))):
            self._claims.release(coming.job.id)

    def _hear(self, name: str, event: ReadProgress | Notice) -> None:
        """Pass on what planning says. Raises Cancelled if its job is not planned any longer."""
        if name not in self._coming:
            raise Cancelled
        self._inbox.post(partial(self._note, name, event))

    def _note(self, name: str, event: ReadProgress | Notice) -> None:
        self._announce(replace(event, job=name) if isinstance(event, Notice) else event)
        coming = self._coming.get(name)
        if coming and isinstance(event, ReadProgress):
            reason = _progress(event)
            if reason != coming.job.reason:
                coming.job = replace(coming.job, reason=reason)
                if coming.is_kept:
                    self._announce(JobChanged(coming.job))


def _answer(answers: list[Future[Job]], job: Job) -> None:
    for answer in answers:
        answer.set_result(job)


def _changed(job: Job, event: WantedChanged | PriorityChanged) -> Job:
    match event:
        case WantedChanged(_, wanted):
            return replace(job, wanted=wanted)
        case PriorityChanged(_, priority):
            spec = job.spec.model_copy(update={"priority": priority})
            return replace(job, spec=spec)


def _as_wanted(planned: Job, asked: Job, now: float) -> Job:
    """Return a planned job with what its user has come to want meanwhile."""
    spec = planned.spec.model_copy(update={"priority": asked.spec.priority})
    return replace(planned, spec=spec, wanted=asked.wanted, since=now)


def _progress(event: ReadProgress) -> str:
    films = f"{event.number} of {event.count} films: " if event.count > 1 else ""
    return f"reads {films}{storage.name(event.url)}, {event.done:.0%}"


def _reason(error: BaseException) -> str:
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    return f"planning failed: {with_type(error)}"
