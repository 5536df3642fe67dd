"""Turns a spec into a job: checks it, plans its units and skips the finished ones.

Stores nothing and schedules nothing, so it may be called from any thread.
"""

import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol

from farm.host.registry import Registry
from farm.host.task import Effect, Run
from farm.host.vetting import validate_params
from farm.model.events import Notice, ReadProgress
from farm.model.history import RestoredUnit, UnitRecord
from farm.model.job import Job, JobSpec, changes
from farm.model.unit import Unit, UnitState
from farm.planning.footage import read_footage
from farm.planning.frame_range import FrameRange
from farm.planning.inputs import list_inputs
from farm.planning.names import check_names
from farm.planning.outputs import check_output, check_run_folder
from farm.planning.plan import plan_run, plan_units
from farm.planning.resume import finished_units
from farm.storage import output_path, remove_leftovers, sha256_file

Notify = Callable[[ReadProgress | Notice], None]

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


class History(Protocol):
    """What planning asks about earlier jobs. The ledger implements it."""

    def find(self, key: str) -> Job | None:
        """Return the latest job with this key."""

    def finished(self, key: str) -> Mapping[str, UnitRecord]:
        """Return the successful units of all jobs with this key, by target."""

    def crashes(self, key: str) -> Counter[str]:
        """Return how many farms in a row crashed while they held a unit, by target."""

    def jobs(self) -> Sequence[Job]:
        """Return every job, oldest first."""


@dataclass(frozen=True)
class Submission:
    """A planned job. replaces: the latest job with the same key, if it is resumed."""

    job: Job
    units: tuple[RestoredUnit, ...]
    replaces: Job | None = None


class Planner:
    """Plans jobs.

    check: raises UserError for a spec that only the task itself can refuse. notify: receives how
    much of a film has been read, and what the user should know before work starts.
    """

    def __init__(
        self,
        registry: Registry,
        history: History,
        notify: Notify,
        check: Callable[[JobSpec], None] | None = None,
    ) -> None:
        self._registry, self._history = registry, history
        self._notify, self._check = notify, check

    def plan(self, spec: JobSpec, created: float, *, resume: bool = False) -> Submission:
        """Return the job of a spec with its units. Raises UserError.

        created: Unix time in seconds. resume: skip units that an equal job has finished and whose
        files have not changed since.
        """
        spec = self._complete(spec)
        job = Job(_new_id(spec.task), spec, created)
        units = self._plan_units(job, is_resumed=resume)
        for folder in {Path(unit.target).parent for unit in units}:
            remove_leftovers(folder)
        check_names(spec, units)
        if not resume:
            return Submission(job, tuple(_new(unit) for unit in units))
        return self._resume(job, units)

    def _complete(self, spec: JobSpec) -> JobSpec:
        """Return the spec with every parameter filled in and every path absolute."""
        params = validate_params(self._registry.task(spec.task), spec.params)
        return spec.model_copy(
            update={
                "params": params.model_dump(mode="json"),
                "inputs": tuple(_absolute(path) for path in spec.inputs),
                "output": _absolute(spec.output),
            }
        )

    def _plan_units(self, job: Job, *, is_resumed: bool) -> tuple[Unit, ...]:
        spec, task = job.spec, self._registry.task(job.spec.task)
        if spec.frames:
            FrameRange.parse(spec.frames)
        sources = list_inputs(spec.inputs)
        if issubclass(task, Run):
            check_run_folder(spec.output, is_resumed=is_resumed)
        else:
            check_output(spec.output, sources)
        if self._check:
            self._check(spec)
        if issubclass(task, Run):
            target = str(output_path(spec.output) / task.result)
            return plan_run(job.id, task.name, spec.inputs, target)
        is_endless = issubclass(task, Effect) and task.is_endless
        footage = read_footage(spec, sources, self._notify, is_endless=is_endless)
        return plan_units(job.id, footage, spec.film)

    def _resume(self, job: Job, units: Sequence[Unit]) -> Submission:
        key = job.spec.key
        latest = self._history.find(key)
        if latest is None:
            self._explain_restart(job.spec)
        finished = finished_units(units, self._history.finished(key), _make_digest_check())
        crashes = self._history.crashes(key)
        # The user or the frame itself may have killed the farm. Such frames come last.
        ordered = sorted(units, key=lambda unit: crashes[unit.target])
        restored = (
            RestoredUnit(unit, UnitState.SKIPPED) if unit.name in finished else _new(unit)
            for unit in ordered
        )
        return Submission(job, tuple(restored), latest)

    def _explain_restart(self, spec: JobSpec) -> None:
        """Report why nothing can be reused of an earlier job with the same output."""
        others = (job.spec for job in self._history.jobs())
        earlier = [o for o in others if (o.task, o.output) == (spec.task, spec.output)]
        if earlier and not issubclass(self._registry.task(spec.task), Run):
            reasons = "; ".join(changes(earlier[-1], spec))
            note = f"nothing can be reused: {reasons}; every frame will be rendered"
            self._notify(Notice(spec.output, note))


def _new(unit: Unit) -> RestoredUnit:
    return RestoredUnit(unit, UnitState.BLOCKED if unit.needs else UnitState.READY)


def _make_digest_check() -> Callable[[str, str], bool]:
    """Return a function that checks whether a file still has a SHA-256.

    It hashes each file once. A generated source, such as ``blank:``, never changes.
    """

    @cache
    def digest(path: str) -> str:
        return sha256_file(Path(path)) if Path(path).is_file() else ""

    return lambda path, sha256: digest(path) == sha256


def _absolute(path: str) -> str:
    """Return a local path as an absolute one, so that a job means the same in every folder."""
    if _SCHEME.match(path):
        return path
    return os.path.abspath(path) + ("/" if path.endswith("/") else "")  # noqa: PTH100 - globs


def _new_id(task: str) -> str:
    return f"{task}-{secrets.token_hex(4)}"
