"""The loop that joins scheduler, ledger, executor and whoever watches.

Always in this order: store what changed, act on it, tell. Whatever is killed between two of
these, the ledger knows no less than what was done.
"""

import os
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from farm.clock import Clock, SystemClock
from farm.executor import Executor
from farm.job import Job, JobSpec, Unit, UnitState, Wanted
from farm.ledger import Ledger
from farm.media import check_output, list_inputs, target_for
from farm.plan import plan_units
from farm.policy import Policy
from farm.registry import Registry
from farm.scheduler import (
    Assign,
    CancelWork,
    Event,
    Instruction,
    JobChanged,
    JobSubmitted,
    KillWorker,
    News,
    Scheduler,
    Stopping,
    Tick,
    UnitChanged,
    WantedChanged,
    first_states,
)
from farm.storage import sha256_file
from farm.vetting import validate_params

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
        sources = list_inputs(spec.inputs)
        check_output(spec.output, sources)
        if self._check:
            self._check(spec)
        job = Job(_new_id(spec.task), spec, self._clock.time())
        many = len(sources) > 1
        units = plan_units(
            job.id, ((s.name, s.url, target_for(s, spec.output, many)) for s in sources)
        )
        finished = self._finished(spec, units) if resume else ()
        states = first_states(units, finished)
        self._ledger.add(job, units, states)
        self._jobs.append(job.id)
        self._tell([JobChanged(job)])
        self._tell(
            UnitChanged(unit, state, 0, reason="finished before")
            for unit, state in zip(units, states, strict=True)
            if state is UnitState.SKIPPED
        )
        self._handle(JobSubmitted(job, units, states))
        return self.scheduler.job(job.id)

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
        while not self.scheduler.is_quiet and self._clock.time() < deadline:
            self._turn()

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
            job = self._ledger.job(event.unit.job)
            hook.farm_unit_finished(
                job=job, unit=event.unit, state=event.state, reason=event.reason
            )

    def _finished(self, spec: JobSpec, units: Iterable[Unit]) -> list[str]:
        """Return names of units that an equal job has done, their files unchanged since."""
        known = self._ledger.finished(spec.key)
        return [
            unit.name
            for unit in units
            if (record := known.get(unit.target)) is not None
            and record.figures is not None
            and record.unit.source == unit.source
            and _is_still(unit.target, record.figures.target_sha256)
            and _is_still(unit.source, record.figures.source_sha256)
        ]


def _is_still(place: str, sha256: str) -> bool:
    """Say whether a file is what it was; what is no file (a drawn picture) always is."""
    path = Path(place)
    if not path.is_file():
        return not sha256
    return sha256_file(path) == sha256


def _absolute(place: str) -> str:
    """Return a local path from the root, so that a job means the same in every folder."""
    if _SCHEME.match(place):
        return place
    return os.path.abspath(place) + ("/" if place.endswith("/") else "")  # noqa: PTH100 - globs


def _new_id(task: str) -> str:
    return f"{task}-{secrets.token_hex(4)}"
