"""Converts the model's objects into rows of the ledger and writes them."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any, Final, Self, TypeVar

from sqlalchemy import Connection, Integer, Text, bindparam, func, insert, update

from farm.ledger import tables
from farm.ledger.cancelling import write_cancellation
from farm.ledger.compiled import CompiledStatement
from farm.ledger.held_job import HeldJob
from farm.ledger.postgres import insert_columns
from farm.ledger.upsert import upsert
from farm.model.events import JobChanged, UnitAdvanced, UnitChanged, UnitEvent, UnitsCancelled
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState
from farm.model.job_counts import frames_seen
from farm.model.messages import Figures
from farm.model.work import WORK

T = TypeVar("T")

_ROWS: Final = 10_000
"""Rows of units in memory at once while a job is inserted."""

_UNSTORABLE: Final = re.compile(r"[\x00\ud800-\udfff]")
"""What a database refuses in a text: zeros, and bytes of file names that are not UTF-8."""

_units: Final = tables.units.c

_INSERT_UNITS: Final = CompiledStatement(insert(tables.units), *(column.name for column in _units))
_INSERT_STORY: Final = CompiledStatement(
    insert(tables.story).inline(), *(c.name for c in tables.story.c if not c.primary_key)
)
_INSERT_FAILURES: Final = insert(tables.failures)
_UPDATE_JOB: Final = update(tables.jobs).where(tables.jobs.c.id == bindparam("of_job"))
_UPDATE_SPEC: Final = update(tables.specs).where(tables.specs.c.job == bindparam("of_job"))
_UPDATE_UNIT: Final = CompiledStatement(
    update(tables.units)
    .where(_units.job == bindparam("of_job"), _units.number == bindparam("of_number"))
    .values(
        state=bindparam("new_state"),
        attempts=bindparam("new_attempts"),
        reason=bindparam("new_reason"),
        figures=func.coalesce(bindparam("new_figures", type_=Text), _units.figures),
        crashes=func.coalesce(bindparam("new_crashes", type_=Integer), _units.crashes),
        retried_from=func.coalesce(
            bindparam("new_retried_from", type_=Integer), _units.retried_from
        ),
    )
)
_ADVANCE: Final = (
    update(tables.units)
    .where(_units.job == bindparam("of_job"), _units.number == bindparam("of_number"))
    .values(crashes=0)
)


def insert_job(
    connection: Connection, job: Job, units: Sequence[RestoredUnit], **owned: object
) -> bool:
    """Insert a job and its units, unless a job of this name is there; return whether it is new.

    owned: values of the columns that only the ledger knows.
    """
    row = {
        "id": job.id,
        "created": job.created,
        **_planned_row(job, units),
        **_job_row(job),
    } | owned
    insertion = upsert(connection, tables.jobs).execution_options(preserve_rowcount=True)
    if connection.execute(insertion, row).rowcount == 0:
        return False
    spec = {"job": job.id, "spec": job.spec.model_dump_json()}
    connection.execute(insert(tables.specs), spec)
    _insert_units(connection, units)
    return True


def plan_job(
    connection: Connection, job: Job, units: Sequence[RestoredUnit], **owned: object
) -> None:
    """Write what has been planned of a job that is there, and insert its units. owned: see insert_job."""
    row = {"of_job": job.id, **_planned_row(job, units), **_job_row(job), **owned}
    connection.execute(_UPDATE_JOB, row)
    spec = {"of_job": job.id, "spec": job.spec.model_dump_json()}
    connection.execute(_UPDATE_SPEC, spec)
    _insert_units(connection, units)


def _planned_row(job: Job, units: Iterable[RestoredUnit]) -> dict[str, object]:
    """Return the columns that planning may change. A job that is not planned is found by no key."""
    is_planned, spec = job.state is not JobState.PLANNING, job.spec
    return {
        "key": spec.key if is_planned else "",
        "task": spec.task,
        "output": spec.output if is_planned else "",
        "frames": frames_seen(restored.unit for restored in units) or None,
    }


def _insert_units(connection: Connection, units: Iterable[RestoredUnit]) -> None:
    for some in _batched(enumerate(units), _ROWS):
        rows = [*_unit_rows(some)]
        if connection.dialect.name == "postgresql":
            insert_columns(connection, tables.units, rows)
        else:
            _INSERT_UNITS.execute(connection, rows)


@dataclass(frozen=True)
class Batch:
    """Changes that are stored together. jobs: each in its last state. by_job: changes of units."""

    units: list[UnitEvent]
    jobs: list[Job]
    by_job: dict[str, list[UnitEvent]]

    @classmethod
    def of(cls, changes: Iterable[UnitEvent | JobChanged]) -> Self:
        """Sort changes by what they change."""
        units: list[UnitEvent] = []
        jobs: dict[str, Job] = {}
        by_job: dict[str, list[UnitEvent]] = {}
        for change in changes:
            if isinstance(change, JobChanged):
                jobs[change.job.id] = change.job
                by_job.setdefault(change.job.id, [])
            else:
                units.append(change)
                by_job.setdefault(change.job, []).append(change)
        return cls(units, list(jobs.values()), by_job)

    def without(self, job: str, stored: Sequence[UnitEvent]) -> Self:
        """Return the batch without the first changes of a job's units, if they are these."""
        own = self.by_job[job]
        if not stored or own[: len(stored)] != [*stored]:
            return self
        left = own[len(stored) :]
        others = [change for change in self.units if change.job != job]
        return replace(self, units=others + left, by_job={**self.by_job, job: left})


def update_jobs(connection: Connection, jobs: Iterable[Job], now: float) -> None:
    """Write the current states of jobs."""
    for job in jobs:
        ended = now if job.state.is_final else None
        connection.execute(_UPDATE_JOB, {"of_job": job.id, **_job_row(job), "ended": ended})


def update_units(
    connection: Connection,
    changes: Sequence[UnitEvent],
    held: Mapping[str, HeldJob],
    now: float,
) -> None:
    """Write the new states of units, and add the changes and any failures to their history."""
    for kind, some in groupby(changes, type):
        if kind is UnitChanged:
            each = [change for change in some if isinstance(change, UnitChanged)]
            _update_each(connection, each, held, now)
            continue
        for change in some:
            if isinstance(change, UnitsCancelled):
                write_cancellation(connection, change, storable(change.reason), now)
            if isinstance(change, UnitAdvanced):
                number = held[change.job].numbers[change.unit.name]
                connection.execute(_ADVANCE, {"of_job": change.job, "of_number": number})


def _update_each(
    connection: Connection,
    changes: Sequence[UnitChanged],
    held: Mapping[str, HeldJob],
    now: float,
) -> None:
    latest: dict[tuple[str, int], dict[str, Any]] = {}
    for change in changes:
        key = change.unit.job, held[change.unit.job].numbers[change.unit.name]
        latest[key] = _changed_unit_row(change, *key, latest.get(key, {}))
    _UPDATE_UNIT.execute(connection, list(latest.values()))
    _INSERT_STORY.execute(connection, [_story_row(change, now) for change in changes])
    failed = [change for change in changes if change.failure]
    if failed:
        connection.execute(_INSERT_FAILURES, [_failure_row(change) for change in failed])
        _insert_tracebacks(connection, failed)


def _insert_tracebacks(connection: Connection, failed: Iterable[UnitChanged]) -> None:
    """Insert the tracebacks that are not there yet.

    This comes after the failures, so that nobody removes a traceback that they need meanwhile.
    """
    texts = {_digest(c.failure.traceback): c.failure.traceback for c in failed if c.failure}
    texts.pop(None, None)
    digests = sorted(texts, key=str)  # two farms lock tracebacks in one order
    rows = [{"digest": digest, "text": storable(texts[digest])} for digest in digests]
    if rows:
        connection.execute(upsert(connection, tables.tracebacks), rows)


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some


def _digest(traceback: str) -> str | None:
    """Return the name of a traceback in the ledger; None if it is empty."""
    if not traceback:
        return None
    return hashlib.sha256(traceback.encode(errors="surrogatepass")).hexdigest()


def storable(text: str) -> str:
    r"""Return a text for readers with what no database stores written out, such as \x00."""
    if not _UNSTORABLE.search(text):
        return text
    return text.replace("\0", r"\x00").encode(errors="backslashreplace").decode()


def _job_row(job: Job) -> dict[str, object]:
    return {
        "state": job.state,
        "wanted": job.wanted,
        "priority": job.spec.priority,
        "reason": storable(job.reason),
        "device": storable(job.device),
        "since": job.since,
    }


def _unit_row(restored: RestoredUnit, number: int, work: str) -> dict[str, object]:
    """Return the columns of a unit. work: its work as JSON."""
    unit = restored.unit
    return {
        "job": unit.job,
        "number": number,
        "name": unit.name,
        "source": unit.source,
        "target": unit.target,
        "needs": json.dumps(unit.needs) if unit.needs else "[]",
        "work": work,
        "is_tolerant": unit.is_tolerant,
        "is_working": unit.is_working,
        "state": restored.state,
        "attempts": restored.attempt,
        "reason": "",
        "figures": _figures(restored.figures),
        "crashes": restored.crashes,
        "workers": unit.workers,
        "retried_from": restored.retried_from,
    }


def _unit_rows(units: Iterable[tuple[int, RestoredUnit]]) -> Iterator[dict[str, object]]:
    """Yield the columns of units by number. Many units have one work, which is written out once."""
    known, text = None, ""
    for number, restored in units:
        if restored.unit.work is not known:
            known = restored.unit.work
            text = WORK.dump_json(known).decode()
        yield _unit_row(restored, number, text)


def _changed_unit_row(
    change: UnitChanged, job: str, number: int, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the parameters of _UPDATE_UNIT. before: those of an earlier change of the unit."""
    crashes, retried_from = before.get("new_crashes"), before.get("new_retried_from")
    if change.crashes is not None:
        crashes, retried_from = change.crashes, change.attempt + 1
    return {
        "of_job": job,
        "of_number": number,
        "new_state": change.state,
        "new_attempts": change.attempt,
        "new_reason": storable(change.reason),
        "new_figures": _figures(change.figures) or before.get("new_figures"),
        "new_crashes": crashes,
        "new_retried_from": retried_from,
    }


def _figures(figures: Figures | None) -> str | None:
    return json.dumps(figures, default=vars) if figures else None


def _story_row(change: UnitChanged, now: float) -> dict[str, object]:
    return {
        "at": now,
        "job": change.unit.job,
        "unit": change.unit.name,
        "state": change.state,
        "attempt": change.attempt,
        "worker": storable(change.worker),
        "reason": storable(change.reason),
        "by": change.by,
    }


def _failure_row(change: UnitChanged) -> dict[str, object]:
    assert change.failure
    return {
        "job": change.unit.job,
        "unit": change.unit.name,
        "attempt": change.attempt,
        "reason": change.failure.reason,
        "message": storable(change.failure.message),
        "digest": _digest(change.failure.traceback),
    }
