"""The control loop around planner, scheduler, ledger, executor and observers.

It first stores what changed, then acts on it, then notifies observers. If the process is killed
between two of these steps, the ledger still records at least what has been done.
"""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, Protocol

from farm.control.clock import Clock, SystemClock
from farm.control.working_files import WorkingFiles
from farm.host.executor import Executor
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import (
    Assign,
    CancelWork,
    Event,
    Instruction,
    JobChanged,
    JobSubmitted,
    KillWorker,
    News,
    Stopping,
    Tick,
    UnitChanged,
    WantedChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import WorkerLost
from farm.planning.submission import Planner
from farm.scheduling.policy import Policy
from farm.scheduling.scheduler import Scheduler

POLL_SECONDS: Final = 0.5
STOP_SECONDS: Final = 30.0


class Observer(Protocol):
    """A display, metrics or a log: receives every event."""

    def on_event(self, event: News) -> None:
        """Handle an event that has been stored and acted on."""


class Controller:
    """Runs jobs on an executor until they end.

    check: raises UserError for a spec that the task itself refuses.
    """

    def __init__(
        self,
        registry: Registry,
        executor: Executor,
        ledger: Ledger,
        *,
        clock: Clock | None = None,
        observers: Sequence[Observer] = (),
        check: Callable[[JobSpec], None] | None = None,
        policy: Policy = Policy(),  # noqa: B008 - frozen
    ) -> None:
        self._hook, self._executor, self._ledger = registry.hook, executor, ledger
        self._clock, self._observers = clock or SystemClock(), observers
        self._planner = Planner(registry, ledger, self._notify, check)
        self.scheduler = Scheduler(policy, generation=secrets.token_hex(4))
        self._jobs: list[str] = []
        self._working: dict[str, WorkingFiles] = {}
        self._is_started = False

    def submit(self, spec: JobSpec, *, resume: bool = False) -> Job:
        """Plan a spec and store it as a job. Raises UserError before anything is stored.

        resume: skip frames that an equal job finished and whose files have not changed since.
        """
        submission = self._planner.plan(spec, self._clock.time(), resume=resume)
        if submission.replaces:
            self._end_replaced(submission.replaces, by=submission.job)
        self._ledger.add(submission.job, submission.units)
        return self._start(submission.job, submission.units)

    def recover(self) -> list[Job]:
        """Resume every unfinished job in the ledger, for example after a crash.

        It takes over all of them, so only one farm per ledger may do this at a time.
        """
        unfinished = [job for job in self._ledger.jobs() if not job.state.is_final]
        return [
            self._start(job, [record.restored for record in self._ledger.units(job.id)])
            for job in unfinished
        ]

    def want(self, job: str, wanted: Wanted) -> None:
        """Set what the user wants a job to do: run, pause or stop."""
        self._handle(WantedChanged(job, wanted))

    def run(self, is_stopped: Callable[[], bool] = lambda: False) -> list[Job]:
        """Run until every job is in a final state or is_stopped returns true; return the jobs.

        Workers from an earlier call are reused, with their networks loaded.
        """
        if not self.scheduler.is_done and not self._is_started:
            self._is_started = True
            self._executor.start()
        while not self.scheduler.is_done and not is_stopped():
            self._step()
        return [self.scheduler.job(job) for job in self._jobs]

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask running units to stop, and wait this long for them. Their jobs can be resumed."""
        deadline = self._clock.time() + seconds
        self._handle(Stopping())
        while self.scheduler.busy_workers() and self._clock.time() < deadline:
            self._step()
        for worker in self.scheduler.busy_workers():
            self._handle(WorkerLost(worker, "did not stop in time"))

    def _end_replaced(self, job: Job, by: Job) -> None:
        if not job.state.is_final:
            ended = replace(job, state=JobState.CANCELLED, reason=f"resumed as {by.id}")
            self._ledger.record([JobChanged(ended)], self._clock.time())

    def _start(self, job: Job, units: Iterable[RestoredUnit]) -> Job:
        units = tuple(units)
        self._jobs.append(job.id)
        self._working[job.id] = WorkingFiles(units)
        self._handle(JobSubmitted(job, units))
        return self.scheduler.job(job.id)

    def _step(self) -> None:
        for message in self._executor.poll(POLL_SECONDS):
            self._handle(message)
        self._handle(Tick())

    def _handle(self, event: Event) -> None:
        now = self._clock.time()
        instructions = self.scheduler.handle(event, now)
        self._store([i for i in instructions if isinstance(i, UnitChanged | JobChanged)], now)
        for instruction in instructions:
            self._act(instruction)
        for instruction in instructions:
            if not isinstance(instruction, Assign | CancelWork | KillWorker):
                self._notify(instruction)

    def _store(self, changes: Sequence[UnitChanged | JobChanged], now: float) -> None:
        if changes:
            self._ledger.record(changes, now)
        for change in changes:
            if isinstance(change, UnitChanged):
                self._working[change.unit.job].on_change(change)

    def _act(self, instruction: Instruction) -> None:
        match instruction:
            case Assign(worker, order):
                self._executor.assign(worker, order)
            case CancelWork(worker):
                self._executor.cancel(worker)
            case KillWorker(worker):
                self._executor.kill(worker)

    def _notify(self, event: News) -> None:
        for observer in self._observers:
            observer.on_event(event)
        self._notify_plugins(event)

    def _notify_plugins(self, event: News) -> None:
        if isinstance(event, JobChanged) and event.job.state.is_final:
            self._hook.farm_job_finished(job=event.job)
        if isinstance(event, UnitChanged) and event.state.is_final:
            self._hook.farm_unit_finished(
                job=self.scheduler.job(event.unit.job),
                unit=event.unit,
                state=event.state,
                reason=event.reason,
            )
