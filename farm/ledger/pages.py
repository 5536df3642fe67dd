"""Queries that return a page: the rows that follow a given one, found by an index and never counted off."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, select, tuple_

from farm.ledger.reading import JOBS, failure_from, story_line_from, unit_record_from
from farm.ledger.tables import failures, jobs, story, tracebacks, units
from farm.model.history import StoryLine, UnitFailure, UnitRecord
from farm.model.job import UNFINISHED, Job, JobState
from farm.model.unit import UnitState

PAGE: Final = 100
"""Rows of a page, unless the caller wants another number."""

_FAILURES: Final = select(failures, tracebacks.c.text).outerjoin(
    tracebacks, tracebacks.c.digest == failures.c.digest
)


def jobs_page(
    after: Job | None, limit: int, state: JobState | None, task: str | None
) -> Select[Any]:
    """Return the query for the jobs that were created before another one, newest first."""
    query = JOBS.order_by(jobs.c.created.desc(), jobs.c.id.desc()).limit(limit)
    if state:
        query = query.where(jobs.c.state == state)
    if task:
        query = query.where(jobs.c.task == task)
    if after:
        query = query.where(tuple_(jobs.c.created, jobs.c.id) < (after.created, after.id))
    return query


def is_abandoned(living: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a job has not ended though its farm is dead. living: the farms that live."""
    is_owned = jobs.c.owner.is_not(None) & jobs.c.owner.in_(list(living))
    return jobs.c.state.in_(UNFINISHED) & ~is_owned


def units_page(
    connection: Connection, job: str, after: int, limit: int, state: UnitState | None
) -> list[UnitRecord]:
    """Return the units of a job whose number is higher, in order, with their failures."""
    query = select(units).where(units.c.job == job, units.c.number > after)
    if state:
        query = query.where(units.c.state == state)
    page = query.order_by(units.c.number).limit(limit)
    records = [unit_record_from(row) for row in connection.execute(page)]
    names = [record.unit.name for record in records if record.attempts]
    failed = _FAILURES.where(failures.c.job == job, failures.c.unit.in_(names))
    return with_failures(records, _failures(connection, failed.order_by(failures.c.id)))


def unit_at(connection: Connection, job: str, target: str) -> UnitRecord | None:
    """Return the unit of a job with this target, without its failures."""
    query = select(units).where(units.c.job == job, units.c.target == target)
    row = connection.execute(query.limit(1)).first()
    return unit_record_from(row) if row else None


def all_units(connection: Connection, job: str) -> list[UnitRecord]:
    """Return every unit of a job in order, with those of their failures that count."""
    failed = _FAILURES.where(failures.c.job == job).order_by(failures.c.id)
    query = select(units).where(units.c.job == job).order_by(units.c.number)
    records = [unit_record_from(row) for row in connection.execute(query)]
    retried_from = {record.unit.name: record.retried_from for record in records}
    counting = (
        one for one in _failures(connection, failed) if one.attempt >= retried_from[one.unit]
    )
    return with_failures(records, counting)


def with_failures(records: Sequence[UnitRecord], failed: Iterable[UnitFailure]) -> list[UnitRecord]:
    """Return the records, each with the failures of its unit."""
    by_unit: dict[str, list[UnitFailure]] = {}
    for one in failed:
        by_unit.setdefault(one.unit, []).append(one)
    return [
        replace(record, failures=tuple(one.failure for one in by_unit[record.unit.name]))
        if record.unit.name in by_unit
        else record
        for record in records
    ]


def story_page(connection: Connection, job: str, after: int, limit: int) -> list[StoryLine]:
    """Return what happened to a job's units after a line of its story, in order."""
    query = select(story).where(story.c.job == job, story.c.id > after)
    rows = connection.execute(query.order_by(story.c.id).limit(limit))
    return [story_line_from(row) for row in rows]


def unit_story(connection: Connection, job: str, unit: str, limit: int) -> list[StoryLine]:
    """Return the last changes of a unit's state, in order."""
    query = select(story).where(story.c.job == job, story.c.unit == unit)
    rows = connection.execute(query.order_by(story.c.id.desc()).limit(limit)).all()
    return [story_line_from(row) for row in reversed(rows)]


def events_page(connection: Connection, after: int, limit: int) -> list[tuple[str, StoryLine]]:
    """Return what happened to the units of all jobs after a line of the story, each with its job."""
    query = select(story).where(story.c.id > after).order_by(story.c.id).limit(limit)
    return [(row.job, story_line_from(row)) for row in connection.execute(query)]


def last_failures(connection: Connection, job: str, limit: int) -> list[UnitFailure]:
    """Return the last failures of a job's units, newest first."""
    query = _FAILURES.where(failures.c.job == job).order_by(failures.c.id.desc())
    return _failures(connection, query.limit(limit))


def _failures(connection: Connection, query: Select[Any]) -> list[UnitFailure]:
    return [failure_from(row) for row in connection.execute(query)]
