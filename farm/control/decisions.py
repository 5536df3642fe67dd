"""Carries out what the scheduler decides: first it is stored, then acted on, then announced."""

from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Final

from farm.control.claimed_outputs import ClaimedOutputs
from farm.control.clock import Clock
from farm.control.heart import beating
from farm.control.patience import Patience
from farm.control.working_files import WorkingFiles
from farm.errors import JobTakenOver, UnknownName
from farm.host.executor import Executor
from farm.ledger import Ledger
from farm.model.events import (
    Assign,
    CancelWork,
    Event,
    Instruction,
    JobChanged,
    JobReopened,
    JobSubmitted,
    KillWorker,
    News,
    Notice,
    Progressed,
    UnitAdvanced,
    UnitChanged,
    UnitEvent,
    UnitsCancelled,
    WantedChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import Job, Wanted
from farm.model.messages import UnitCancelled
from farm.scheduling.scheduler import Scheduler
from farm.storage import is_remote

__all__ = ["Decisions"]

REMEMBERED_LOSSES: Final = 1000
"""The most jobs that were lost and have ended whose loss is remembered: the latest."""


class Decisions:
    """What the scheduler has decided about the jobs of this farm, until it is carried out.

    announce: receives each event once it has been stored and acted on. show_life: called from another
    thread while a remote storage is waited for. lost: why this farm has dropped a job, by job.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        ledger: Ledger,
        executor: Executor,
        *,
        claims: ClaimedOutputs,
        patience: Patience,
        clock: Clock,
        announce: Callable[[News], None],
        show_life: Callable[[], None],
    ) -> None:
        self._show_life = show_life
        self._scheduler, self._ledger, self._executor = scheduler, ledger, executor
        self._claims, self._patience = claims, patience
        self._clock, self._announce = clock, announce
        self.lost: dict[str, str] = {}
        self._working: dict[str, WorkingFiles] = {}
        self._pending: list[Instruction] = []

    def __contains__(self, job: object) -> bool:
        """Whether this farm works on a job."""
        return job in self._working

    @property
    def are_pending(self) -> bool:
        """Whether some could not be stored yet."""
        return bool(self._pending)

    def start(self, job: Job, units: tuple[RestoredUnit, ...]) -> None:
        """Let a job run that this farm owns."""
        self._working[job.id] = WorkingFiles(units)
        self.handle(JobSubmitted(job, units))

    def reopen(self, reopened: JobReopened, working: WorkingFiles) -> None:
        """Let units of a job that has ended be tried again. working: its working files."""
        self._working[reopened.job.id] = working
        self.handle(reopened)

    def handle(self, *events: Event) -> None:
        """Let the scheduler decide about all events, then store, act and announce once."""
        now = self._clock.time()
        try:
            for event in events:
                self._decide(event, now)
        finally:
            self.carry_out()

    def carry_out(self) -> None:
        """Store what was decided, act on it and announce it, or nothing if it cannot be stored."""
        if not self._patience.attempt(self._store):
            return
        pending, self._pending = self._pending, []
        for instruction in pending:
            self._act(instruction)
        for instruction in pending:
            if not isinstance(instruction, UnitAdvanced | Assign | CancelWork | KillWorker):
                self._announce(instruction)

    def lose(self, job: str, reason: str) -> None:
        """Drop a job that another farm has taken over, and leave its files alone."""
        output = self._scheduler.job(job).spec.output
        note = f"{reason}; this farm stops working on it and leaves its files alone"
        self.lost[job] = reason
        self._working.pop(job, None)
        self._claims.release(job)
        unsent = [i for i in self._pending if isinstance(i, Assign) and _job_of(i) == job]
        self._pending = [i for i in self._pending if _job_of(i) != job]
        now = self._clock.time()
        self._decide(WantedChanged(job, Wanted.CANCEL), now)
        for assign in unsent:
            self._decide(UnitCancelled(assign.workers[0], assign.order.token), now)
        self._forget_losses()
        self._announce(Notice(output, note))

    def _forget_losses(self) -> None:
        for job in [*self.lost][:-REMEMBERED_LOSSES]:
            with suppress(UnknownName):
                if not self._scheduler.job(job).state.is_final:
                    continue
            del self.lost[job]

    def _decide(self, event: Event, now: float) -> None:
        instructions = self._scheduler.handle(event, now)
        self._pending += [i for i in instructions if _job_of(i) not in self.lost]

    def _store(self) -> None:
        while True:
            changes = [i for i in self._pending if isinstance(i, UnitEvent | JobChanged)]
            try:
                if changes:
                    self._ledger.record(changes, self._clock.time())
            except JobTakenOver as error:
                self.lose(error.job, str(error))
            else:
                break
        is_slow = any(map(_is_remote, changes))
        with beating(self._show_life) if is_slow else nullcontext():
            for change in changes:
                self._on_stored(change)

    def _on_stored(self, change: UnitEvent | JobChanged) -> None:
        if isinstance(change, UnitChanged):
            self._working[change.job].on_change(change)
        elif isinstance(change, UnitsCancelled):
            self._working[change.job].on_cancelled(change.units)
        elif isinstance(change, JobChanged) and change.job.state.is_final:
            if change.job.id in self._working:
                self._working.pop(change.job.id).end()
            self._claims.release(change.job.id)

    def _act(self, instruction: Instruction) -> None:
        match instruction:
            case Assign(workers, order):
                self._executor.assign(workers, order)
            case CancelWork(worker, token):
                self._executor.cancel(worker, token)
            case KillWorker(worker):
                self._executor.kill(worker)


def _is_remote(change: UnitEvent | JobChanged) -> bool:
    """Return whether files at a URL may have to be removed once a change is stored."""
    match change:
        case UnitChanged(unit, state):
            return state.is_final and is_remote(unit.target)
        case JobChanged(job):
            return job.state.is_final and is_remote(job.spec.output)
        case _:
            return False


def _job_of(instruction: Instruction) -> str | None:
    """Return the job that an instruction is about, if it is about one."""
    match instruction:
        case UnitChanged(unit) | UnitAdvanced(unit) | Progressed(unit):
            return unit.job
        case UnitsCancelled(job):
            return job
        case JobChanged(job):
            return job.id
        case Assign(_, order):
            return order.unit.job
        case _:
            return None
