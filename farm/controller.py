"""The loop that joins scheduler, ledger, executor and whoever watches.

Always in this order: store what changed, act on it, tell. Whatever is killed between two of
these, the ledger knows no less than what was done.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Protocol

from farm.clock import Clock, SystemClock
from farm.events import (
    Assign,
    CancelWork,
    Entering,
    Event,
    Instruction,
    JobChanged,
    JobSubmitted,
    KillWorker,
    News,
    Noted,
    Stopping,
    Tick,
    UnitChanged,
    WantedChanged,
)
from farm.executor import Executor, WorkerLost
from farm.footage import gather
from farm.job import Job, JobSpec, JobState, Unit, UnitState, Wanted, changes
from farm.ledger import Ledger
from farm.media import check_output, check_run, list_inputs
from farm.plan import FrameRange, plan_run, plan_units
from farm.policy import Policy
from farm.registry import Registry
from farm.resume import finished_units
from farm.scheduler import Scheduler
from farm.storage import output_path, remove_leftovers, sha256_file
from farm.task import Effect, Run
from farm.vetting import validate_params
from farm.working import WorkingFiles

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")

POLL_SECONDS = 0.5
STOP_SECONDS = 30.0


class Observer(Protocol):
    """Whoever watches: a display, metrics, a log."""

    def on_event(self, event: News) -> None:
        """Hear what happened, after it was stored and done."""


class Controller:
    """Runs jobs on an executor until they end.

    check: refuses, with a UserError, a spec that only the task itself can judge.
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
        self._registry, self._executor, self._ledger = registry, executor, ledger
        self._clock, self._observers, self._check = clock or SystemClock(), observers, check
        self.scheduler = Scheduler(policy, generation=secrets.token_hex(4))
        self._jobs: list[str] = []
        self._working: dict[str, WorkingFiles] = {}
        self._is_started = False

    def submit(self, spec: JobSpec, *, resume: bool = False) -> Job:
        """Check a spec, plan and store it. Raises UserError, and then nothing is stored.

        resume: frames that an equal job has finished, whose files are still what they were,
        are skipped.
        """
        params = validate_params(self._registry.task(spec.task), spec.params)
        spec = spec.model_copy(
            update={
                "params": params.model_dump(mode="json"),
                "inputs": tuple(_absolute(place) for place in spec.inputs),
                "output": _absolute(spec.output),
            }
        )
        job = Job(_new_id(spec.task), spec, self._clock.time())
        units = self._plan(job, is_resumed=resume)
        for folder in {Path(unit.target).parent for unit in units}:
            remove_leftovers(folder)
        entering = self._resumed(job, units) if resume else [_first(unit) for unit in units]
        self._ledger.add(job, entering)
        return self._enter(job, entering)

    def _plan(self, job: Job, *, is_resumed: bool) -> tuple[Unit, ...]:
        spec, task = job.spec, self._registry.task(job.spec.task)
        if spec.frames:
            FrameRange.parse(spec.frames)
        sources = list_inputs(spec.inputs)
        if issubclass(task, Run):
            check_run(spec.output, is_resumed=is_resumed)
        else:
            check_output(spec.output, sources)
        if self._check:
            self._check(spec)
        if issubclass(task, Run):
            target = str(output_path(spec.output) / task.result)
            return plan_run(job.id, task.name, spec.inputs, target)
        is_endless = issubclass(task, Effect) and task.is_endless
        footage = gather(spec, sources, self._tell_one, is_endless=is_endless)
        return plan_units(job.id, footage, spec.film)

    def recover(self) -> list[Job]:
        """Go on with every job that the ledger holds unfinished, as after a crash.

        Of one ledger's farms only one may do so at a time: it takes all jobs for its own.
        """
        unfinished = [job for job in self._ledger.jobs() if not job.state.is_final]
        return [
            self._enter(job, [record.entering for record in self._ledger.units(job.id)])
            for job in unfinished
        ]

    def want(self, job: str, wanted: Wanted) -> None:
        """Say what a person wants of a job: run, pause or cancel."""
        self._handle(WantedChanged(job, wanted))

    def run(self, is_stopped: Callable[[], bool] = lambda: False) -> list[Job]:
        """Work until every job is in a final state or somebody stops it; return the jobs.

        Workers started by an earlier run are still there, their networks warm.
        """
        if not self.scheduler.is_done and not self._is_started:
            self._is_started = True
            self._executor.start()
        while not self.scheduler.is_done and not is_stopped():
            self._turn()
        return [self.scheduler.job(job) for job in self._jobs]

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Ask running units to stop, and wait for them so long; they stay to be resumed."""
        deadline = self._clock.time() + seconds
        self._handle(Stopping())
        while self.scheduler.busy_workers() and self._clock.time() < deadline:
            self._turn()
        for worker in self.scheduler.busy_workers():
            self._handle(WorkerLost(worker, "left behind"))

    def _enter(self, job: Job, entering: Iterable[Entering]) -> Job:
        entering = tuple(entering)
        self._jobs.append(job.id)
        self._working[job.id] = WorkingFiles(entering)
        self._handle(JobSubmitted(job, entering))
        return self.scheduler.job(job.id)

    def _turn(self) -> None:
        for message in self._executor.poll(POLL_SECONDS):
            self._handle(message)
        self._handle(Tick())

    def _handle(self, event: Event) -> None:
        now = self._clock.time()
        instructions = self.scheduler.handle(event, now)
        stored = [i for i in instructions if isinstance(i, UnitChanged | JobChanged)]
        if stored:
            self._ledger.record(stored, now)
        for change in stored:
            if isinstance(change, UnitChanged):
                self._working[change.unit.job].on_change(change)
        for instruction in instructions:
            self._act(instruction)
        self._tell(i for i in instructions if not isinstance(i, Assign | CancelWork | KillWorker))

    def _act(self, instruction: Instruction) -> None:
        match instruction:
            case Assign(worker, order):
                self._executor.assign(worker, order)
            case CancelWork(worker):
                self._executor.cancel(worker)
            case KillWorker(worker):
                self._executor.kill(worker)

    def _tell_one(self, event: News) -> None:
        self._tell([event])

    def _tell(self, news: Iterable[News]) -> None:
        for event in news:
            for observer in self._observers:
                observer.on_event(event)
            self._tell_plugins(event)

    def _tell_plugins(self, event: News) -> None:
        hook = self._registry.hook
        if isinstance(event, JobChanged) and event.job.state.is_final:
            hook.farm_job_finished(job=event.job)
        if isinstance(event, UnitChanged) and event.state.is_final:
            job = self.scheduler.job(event.unit.job)
            hook.farm_unit_finished(
                job=job, unit=event.unit, state=event.state, reason=event.reason
            )

    def _resumed(self, job: Job, units: Sequence[Unit]) -> list[Entering]:
        """Return the units as equal jobs left them; the latest of these ends here."""
        before = self._ledger.find(job.spec.key)
        if before is None:
            self._tell_changes(job.spec)
        if before and not before.state.is_final:
            ended = replace(before, state=JobState.CANCELLED, reason=f"resumed as {job.id}")
            self._ledger.record([JobChanged(ended)], self._clock.time())
        known, crashes = self._ledger.finished(job.spec.key), self._ledger.crashes(job.spec.key)
        finished = finished_units(units, known, _remembering())
        # Killed by a person or by the frame itself, nobody can tell: such frames come last.
        return [
            Entering(unit, UnitState.SKIPPED) if unit.name in finished else _first(unit)
            for unit in sorted(units, key=lambda unit: crashes[unit.target])
        ]

    def _tell_changes(self, spec: JobSpec) -> None:
        """Say why nothing that an earlier job left at the same place can be kept."""
        others = (job.spec for job in self._ledger.jobs())
        earlier = [o for o in others if (o.task, o.output) == (spec.task, spec.output)]
        if earlier and not issubclass(self._registry.task(spec.task), Run):
            told = "; ".join(changes(earlier[-1], spec))
            self._tell([Noted(spec.output, f"all of it is made again: {told}")])


def _first(unit: Unit) -> Entering:
    return Entering(unit, UnitState.BLOCKED if unit.needs else UnitState.READY)


def _remembering() -> Callable[[str, str], bool]:
    """Return what says whether a file is what it was; what is no file (drawn) always is."""

    @cache
    def digest(place: str) -> str:
        path = Path(place)
        return sha256_file(path) if path.is_file() else ""

    return lambda place, sha256: digest(place) == sha256


def _absolute(place: str) -> str:
    """Return a local path from the root, so that a job means the same in every folder."""
    if _SCHEME.match(place):
        return place
    return os.path.abspath(place) + ("/" if place.endswith("/") else "")  # noqa: PTH100 - globs


def _new_id(task: str) -> str:
    return f"{task}-{secrets.token_hex(4)}"
