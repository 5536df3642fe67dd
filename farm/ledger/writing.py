"""Converts the model's objects into rows of the ledger and writes them."""

import json
from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import Connection, insert, update

from farm.ledger import tables
from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job
from farm.model.messages import Failure
from farm.model.unit import Unit
from farm.model.work import WORK


def insert_job(connection: Connection, job: Job, units: Iterable[RestoredUnit]) -> None:
    """Insert a job and its units."""
    rows = [_unit_row(restored, number) for number, restored in enumerate(units)]
    connection.execute(insert(tables.jobs).values(key=job.spec.key, **_job_row(job)))
    connection.execute(insert(tables.units), rows)


def update_job(connection: Connection, job: Job) -> None:
    """Write a job's current state."""
    query = update(tables.jobs).where(tables.jobs.c.id == job.id)
    connection.execute(query.values(_job_row(job)))


def update_unit(connection: Connection, change: UnitChanged, now: float) -> None:
    """Write a unit's new state, and add the change and any failure to its history."""
    values: dict[str, object] = {
        "state": change.state,
        "attempts": change.attempt,
        "reason": change.reason,
    }
    if change.figures:
        values["figures"] = json.dumps(asdict(change.figures))
    units = tables.units.c
    is_the_unit = (units.job == change.unit.job) & (units.name == change.unit.name)
    connection.execute(update(tables.units).where(is_the_unit).values(values))
    connection.execute(insert(tables.story).values(_story_row(change, now)))
    if change.failure:
        failure = _failure_row(change.unit, change.attempt, change.failure)
        connection.execute(insert(tables.failures).values(failure))


def _job_row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "spec": job.spec.model_dump_json(),
        "created": job.created,
        "state": job.state,
        "wanted": job.wanted,
        "reason": job.reason,
    }


def _unit_row(restored: RestoredUnit, number: int) -> dict[str, object]:
    unit = restored.unit
    return {
        "job": unit.job,
        "number": number,
        "name": unit.name,
        "source": unit.source,
        "target": unit.target,
        "needs": json.dumps(unit.needs),
        "work": WORK.dump_json(unit.work).decode(),
        "is_tolerant": unit.is_tolerant,
        "is_working": unit.is_working,
        "state": restored.state,
        "attempts": restored.attempt,
        "reason": "",
    }


def _story_row(change: UnitChanged, now: float) -> dict[str, object]:
    return {
        "at": now,
        "job": change.unit.job,
        "unit": change.unit.name,
        "state": change.state,
        "attempt": change.attempt,
        "worker": change.worker,
        "reason": change.reason,
        "by": change.by,
    }


def _failure_row(unit: Unit, attempt: int, failure: Failure) -> dict[str, object]:
    return {
        "job": unit.job,
        "unit": unit.name,
        "attempt": attempt,
        "reason": failure.reason,
        "message": failure.message,
        "traceback": failure.traceback,
    }
