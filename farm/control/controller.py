"""The control loop around planner, scheduler, ledger, executor and observers.

It takes what workers report and what is asked of it, in one thread, and lets the scheduler decide.
If the process is killed between storing, acting and announcing, the ledger still records at least
what has been done. While the ledger cannot be written, nothing is acted on, and workers finish the
units they hold.
"""

import secrets
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from farm.control.announcing import Announcer, Observer
from farm.control.attention import Attention
from farm.control.claimed_outputs import ClaimedOutputs
from farm.control.clock import Clock, SystemClock
from farm.control.decisions import Decisions
from farm.control.heart import beating
from farm.control.inbox import Inbox
from farm.control.patience import Patience
from farm.control.retrying import chosen_units, gone
from farm.control.submissions import Submissions
from farm.control.working_files import WorkingFiles
from farm.errors import (
    BadOutput,
    BadParameter,
    Busy,
    Cancelled,
    Conflict,
    JobEnded,
    JobHeld,
    LedgerUnavailable,
    UnknownName,
    UserError,
    WorkerError,
)
from farm.host.executor import Executor
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import (
    CancelWanted,
    FilesMoved,
    JobReopened,
    PriorityChanged,
    RetryWanted,
    Stopping,
    Tick,
    WantedChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import MOST_URGENT, Job, JobSpec, JobState, Wanted
from farm.model.messages import (
    Message,
    NoWorkers,
    UnitCancelled,
    UnitFailed,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.model.unit import Unit
from farm.planning.checking import Check, unchecked
from farm.planning.submission import Planner, Submission, new_id
from farm.process import BEAT_SECONDS
from farm.scheduling.policy import Policy
from farm.scheduling.scheduler import Scheduler
from farm.scheduling.waiting import PAUSED

POLL_SECONDS: Final = 0.1
"""How long a command may have to wait for the loop."""
ADD_SECONDS: Final = 30.0
"""How long a new job waits for a ledger that is locked."""
STOP_SECONDS: Final = 30.0
REMEMBERED_JOBS: Final = 1000
"""The most jobs that run returns, the latest ones."""


class Controller:
    """Runs jobs on an executor.

    Any thread may call submit, want, set_priority, retry, job and planning; the others are for the
    thread that runs the loop. check: of the task itself. check_resumed: as of Planner.
    """

    def __init__(
        self,
        registry: Registry,
        executor: Executor,
        ledger: Ledger,
        *,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
        check: Check = unchecked,
        check_resumed: Callable[[JobSpec], None] = lambda _spec: None,
        policy: Policy = Policy(),  # noqa: B008 - frozen
    ) -> None:
        self._executor, self._ledger, self._clock = executor, ledger, clock or SystemClock()
        self._announce = Announcer(registry, observers, self.job).announce
        self._patience = Patience(self._clock, self._announce)
        self._claims, self._inbox = ClaimedOutputs(ledger.process), Inbox()
        self.scheduler = Scheduler(policy, generation=secrets.token_hex(4))
        self._decisions = Decisions(
            self.scheduler,
            ledger,
            executor,
            claims=self._claims,
            patience=self._patience,
            clock=self._clock,
            announce=self._announce,
            show_life=self._show_life,
        )
        make_planner = partial(Planner, registry, ledger, check=check, check_resumed=check_resumed)
        self._planner = make_planner(self._announce, claim=self._claim)
        self._submissions = Submissions(
            partial(make_planner, claim=self._claim_coming),
            ledger,
            self._claims,
            self._inbox,
            self._patience,
            start=self._start,
            announce=self._announce,
            state=self._state_of,
            now=self._clock.time,
        )
        self._jobs: deque[str] = deque(maxlen=REMEMBERED_JOBS)
        self._last_beat, self._attention = -BEAT_SECONDS, Attention()
        self._wanted_workers = 0
        self._waits_for_workers, self._lack = policy.waits_for_workers, ""
        self._is_started = False

    # Asked by any thread

    def submit(self, spec: JobSpec, *, resume: bool = False, token: str = "") -> Future[Job]:
        """Store a spec as a job, and let it be planned beside the loop; the future returns it planned.

        The future raises UserError if it is refused, and then nothing has changed, unless somebody
        gave up waiting; see accept. resume: skip frames that an equal job finished and whose files have
        not changed since. token: whoever submits a task again with the same one gets the same job,
        also from another farm on this ledger.
        """
        answer: Future[Job] = Future()
        self._inbox.post(partial(self._accept, spec, answer, resume=resume, token=token), answer)
        return answer

    def accept(self, answer: Future[Job]) -> None:
        """Let a future of submit return the job at once, though it may still be planned.

        The job stays from then on: if it is refused, it has failed, with the reason.
        """
        self._inbox.post(partial(self._submissions.keep, answer))

    def want(self, job: str, wanted: Wanted) -> Future[Job]:
        """Set what the user wants a job to do: run, pause or stop. The future raises UnknownName.

        It returns the job once the wish is stored. If the job is to be cancelled, its units are cancelled
        after that, also by the next farm if this one dies.
        """
        if wanted is Wanted.CANCEL:
            return self._inbox.ask(partial(self._cancel, job))
        return self._inbox.ask(partial(self._change, job, WantedChanged(job, wanted)))

    def set_priority(self, job: str, priority: int) -> Future[Job]:
        """Let a job run sooner or later than others. The future raises UnknownName, BadParameter.

        priority: 0..100; jobs with a higher one run first.
        """
        return self._inbox.ask(partial(self._prioritise, job, priority))

    def retry(
        self, job: str, units: Sequence[str] = (), *, frames: str = "", redo: bool = False
    ) -> Future[Job]:
        """Try units of a job again that failed, and what needs them; a job that has ended goes on.

        units: names. frames: a range, as of JobSpec; stills count from 1 in their order. All units
        that failed if neither is given. redo: those that succeeded are made again too. If they wait or run
        already because of an earlier call, nothing changes. The future raises UserError: BadOutput if another
        job writes the same files, Conflict if there is nothing to try.
        """
        return self._inbox.ask(partial(self._retry, job, tuple(units), frames, redo=redo))

    def job(self, job: str) -> Job:
        """Return a job in its current state. Raises UnknownName."""
        try:
            current = self.scheduler.job(job)
        except UnknownName:
            coming = self._submissions.find(job) or self._ledger.job(job)
            if coming is None:
                raise
            return coming
        lost = self._decisions.lost
        return replace(current, reason=lost[job]) if job in lost else current

    def why(self, job: str) -> str:
        """Return in words what a job waits for; empty if it waits for nothing. Raises UnknownName."""
        current = self.job(job)
        if current.state.is_final:
            return ""
        if self._decisions.are_pending and self._patience.trouble:
            return f"the ledger {self._patience.trouble}; the farm tries again"
        if current.state is JobState.PLANNING:
            return current.reason or "its inputs are read to plan it"
        if job in self._decisions:
            return self.scheduler.waits_for(job)
        if current.wanted is Wanted.PAUSE:
            return PAUSED
        return "another farm runs it, or has died and will be followed by the next one"

    def waiting_for(self, job: str) -> list[str]:
        """Return the jobs that are to start after a job."""
        return self._submissions.waiting_for(job)

    def planning(self) -> int:
        """Return the number of jobs that are being planned, or wait to be."""
        return len(self._submissions)

    def _state_of(self, job: str) -> JobState | None:
        with suppress(UnknownName):
            return self.job(job).state
        return None

    # Called by the loop's thread

    def add(self, spec: JobSpec, *, resume: bool = False) -> Job:
        """Plan a spec at once and store it as a job. Raises UserError before anything is stored.

        resume: as in submit.
        """
        self._beat()
        name = new_id(spec.task)
        try:
            with beating(self._show_life):
                created = self._clock.time()
                submission = self._planner.plan(spec, created, resume=resume, name=name)
            self._store_job(submission)
        except BaseException:
            self._claims.release(name)
            raise
        return self._start(submission.job, submission.units)

    def recover(self) -> list[Job]:
        """Resume every unfinished job in the ledger whose farm is dead, for example after a crash."""
        self._beat()
        jobs = self._ledger.unfinished()
        jobs.sort(
            key=lambda job: job.state is JobState.PLANNING
        )  # after those that hold their outputs
        return [taken for job in jobs if (taken := self._take(job.id))]

    def run(self, is_stopped: Callable[[], bool] = lambda: False) -> list[Job]:
        """Run until every job has ended or is_stopped returns true; return the jobs.

        A job that no worker of this farm can run is left as it is, paused with the reason.
        Workers from an earlier call are reused, with their networks loaded. Raises WorkerError, once the
        jobs have failed, if there are no workers and none can join, unless the policy is to wait; and
        UserError, once they have failed too, if the workers cannot be started.
        """
        self._inbox.empty()
        while not self._is_done:
            if not self.scheduler.is_done:
                self._start_or_fail()  # until is_stopped is asked, a signal interrupts it
            if is_stopped():
                break
            self._step()
            if self._lack and not self._waits_for_workers:
                raise WorkerError(self._lack)
        return [self.job(job) for job in self._jobs]

    def serve(self, is_stopped: Callable[[], bool]) -> None:
        """Run whatever is submitted, until is_stopped returns true."""
        self._start_workers()
        while not is_stopped():
            self._step()

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask running units to stop, and wait this long for them. Their jobs can be resumed."""
        deadline = self._clock.time() + seconds
        self._decisions.handle(Stopping())
        while not self._is_stopped and self._clock.time() < deadline:
            self._step()
        lost = [WorkerLost(w, "did not stop in time") for w in self.scheduler.busy_workers()]
        self._decisions.handle(*lost)

    def close(self) -> None:
        """End the workers, give up the outputs, and record that the farm ends in good order.

        What is still asked of the farm is refused.
        """
        self._inbox.close()
        self._submissions.close()
        try:
            self._executor.close()
        finally:
            self._claims.release_all()
            with suppress(UserError):
                self._ledger.leave(self._clock.time())

    @property
    def _is_done(self) -> bool:
        is_asked = not self._inbox.is_empty or self._submissions
        return not (self.scheduler.has_work or self._decisions.are_pending or is_asked)

    @property
    def _is_stopped(self) -> bool:
        return not self.scheduler.busy_workers() and not self._decisions.are_pending

    # Jobs that enter

    def _accept(self, spec: JobSpec, answer: Future[Job], *, resume: bool, token: str = "") -> None:
        name = new_id(spec.task, token)
        if token and name not in self._submissions:
            with suppress(UnknownName):
                answer.set_result(self.job(name))
                return
        self._check_earlier(spec)
        if name not in self._submissions:
            now = self._clock.time()
            job = Job(name, spec, now, JobState.PLANNING, since=now)
            self._insist(partial(self._ledger.add, job, is_resumed=resume))
            self._submissions.enter(job, resume=resume, is_kept=False)
        self._submissions.wait(name, answer)

    def _check_earlier(self, spec: JobSpec) -> None:
        """Raise UnknownName if a job is to wait for one that is not there yet."""
        for name in spec.after:
            self.job(name)

    def _store_job(self, submission: Submission) -> None:
        """Store a planned job. Raises UserError before anything is stored."""
        self._insist(partial(self._add, submission))

    def _insist(self, write: Callable[[], None]) -> None:
        self._beat()
        self._patience.insist(write, ADD_SECONDS)

    def _add(self, submission: Submission) -> None:
        job, units, before = submission.job, submission.units, submission.replaces
        if before:
            self._ledger.replace(before, job, units, self._clock.time())
        else:
            self._ledger.add(job, units)

    def _claim(self, job: str, units: Sequence[Unit]) -> None:
        self._claims.take(job, units, self._clock.time())

    def _claim_coming(self, job: str, units: Sequence[Unit]) -> None:
        """Claim the outputs of a job in a planning thread. Raises Cancelled if it has ended meanwhile."""
        self._claim(job, units)
        if job not in self._submissions:
            self._claims.release(job)
            raise Cancelled

    def _take(self, name: str) -> Job | None:
        """Own a job of a dead farm and go on with it; return None if its farm lives.

        A job that this farm has lost is left to others: its own workers may still write it.
        """
        if any(name in ours for ours in (self._decisions, self._decisions.lost, self._submissions)):
            return None
        records = self._ledger.units(name)
        try:
            self._claim(name, [record.unit for record in records])
            self._ledger.take(name, self._clock.time())
        except (BadOutput, JobEnded, JobHeld):
            self._claims.release(name)
            return None
        job = self.job(name)  # as it is now: until it was taken, its farm may have changed it
        if job.state is JobState.PLANNING:
            self._claims.release(name)
            self._submissions.enter(job, resume=self._ledger.resumes(name))
            return job
        return self._start(job, [record.restored for record in self._ledger.units(name)])

    def _start(self, job: Job, units: Iterable[RestoredUnit]) -> Job:
        units = tuple(units)
        self._jobs.append(job.id)
        self._decisions.start(job, units)
        return self.job(job.id)

    def _cancel(self, job: str) -> Job:
        """Store that a job is to be cancelled, and let the loop cancel its units next."""
        event = WantedChanged(job, Wanted.CANCEL)
        if job not in self._decisions:
            return self._change(job, event)
        wished = self._change(job, CancelWanted(job))
        self._inbox.post(partial(self._decisions.handle, event))
        return wished

    def _change(self, job: str, event: WantedChanged | CancelWanted | PriorityChanged) -> Job:
        """Let an event change a job, unless it has ended. Raises UnknownName."""
        current = self.job(job)
        if current.state.is_final:
            return current
        if job in self._submissions and not isinstance(event, CancelWanted):
            return self._submissions.change(job, event)
        self._check_ours(job)
        self._decisions.handle(event)
        return self.job(job)

    def _check_ours(self, job: str) -> None:
        if job not in self._decisions:
            raise UserError(f"job {job} belongs to another farm; ask that one")

    def _prioritise(self, job: str, priority: int) -> Job:
        if not 0 <= priority <= MOST_URGENT:
            raise BadParameter("priority", f"{priority} is not in 0 to {MOST_URGENT}")
        return self._change(job, PriorityChanged(job, priority))

    def _retry(self, job: str, units: tuple[str, ...], frames: str, *, redo: bool) -> Job:
        current = self.job(job)
        if job in self._submissions:
            return current
        with beating(self._show_life):
            if current.state.is_final:
                return self._retry_ended(current, units, frames, redo=redo)
            self._check_ours(job)
            known = self.scheduler.units(job)
            names = chosen_units(job, known, units, frames, redo=redo)
            self._decisions.handle(RetryWanted(job, names, redo, gone(known)))
        return self.job(job)

    def _retry_ended(self, job: Job, units: tuple[str, ...], frames: str, *, redo: bool) -> Job:
        if job.id in self._decisions:
            raise Busy(
                f"job {job.id} has ended, but the ledger cannot store it yet; ask again later"
            )
        ended = tuple(record.restored for record in self._ledger.units(job.id))
        names = chosen_units(job.id, ended, units, frames, redo=redo)
        return self._reopen(job, ended, RetryWanted(job.id, names, redo))

    def _reopen(self, job: Job, units: tuple[RestoredUnit, ...], wish: RetryWanted) -> Job:
        """Own a job that has ended, claim its outputs again, and let units of it be tried again."""
        if job.id in self._decisions.lost:
            raise Conflict(f"job {job.id}: {self._decisions.lost[job.id]}; ask that farm")
        try:
            self._claim(job.id, [restored.unit for restored in units])
            self._ledger.reopen(job.id, self._clock.time())
            working = WorkingFiles(units)
            wish = replace(wish, gone=gone(units))
        except BaseException:
            self._claims.release(job.id)
            raise
        self._jobs.append(job.id)
        self._decisions.reopen(JobReopened(job, units, wish), working)
        return self.job(job.id)

    # The loop

    def _start_workers(self) -> None:
        if not self._is_started:
            self._is_started = True
            with beating(self._show_life):
                self._executor.start()

    def _start_or_fail(self) -> None:
        """Start the workers. If that is refused, the jobs have failed, with the reason."""
        try:
            self._start_workers()
        except UserError as error:
            self._decisions.handle(NoWorkers(str(error)))
            raise

    def _step(self) -> None:
        self._beat()
        self._inbox.empty()
        if self._decisions.are_pending:
            self._patience.wait()
            self._decisions.carry_out()
            return
        self._submissions.take_in()
        messages = self._executor.poll(POLL_SECONDS)
        for message in messages:
            if isinstance(message, NoWorkers | WorkerJoined):
                self._lack = message.reason if isinstance(message, NoWorkers) else ""
        may_judge = self._attention.listen(self._clock.time())
        try:
            self._announce_transfers(messages)
        finally:  # what workers said counts, even if an observer ends the loop
            self._decisions.handle(*messages, *([Tick()] if may_judge else []))
        self._tell_demand()

    def _announce_transfers(self, messages: Sequence[Message]) -> None:
        """Tell what workers have read and written for units that have ended."""
        for message in messages:
            if (
                isinstance(message, UnitSucceeded | UnitFailed | UnitCancelled)
                and message.transfers
            ):
                self._announce(FilesMoved(message.transfers))

    def _tell_demand(self) -> None:
        """Tell the executor how many workers the jobs could use, if that has changed."""
        wanted = self.scheduler.wanted_workers()
        if wanted != self._wanted_workers:
            self._wanted_workers = wanted
            self._executor.want(wanted)

    def _beat(self) -> None:
        """Renew the heartbeat of this farm and of its claims, if it is time."""
        now = self._clock.time()
        if now - self._last_beat < BEAT_SECONDS:
            return
        self._last_beat = now
        self._show_life()
        for job, reason in self._claims.beat():
            if job in self._submissions:
                self._submissions.lose(job, reason)
            else:
                self._decisions.lose(job, reason)

    def _show_life(self) -> None:
        """Show that this farm lives, from any thread."""
        with suppress(LedgerUnavailable):
            self._ledger.beat(self._clock.time())
        self._claims.touch()
