"""Converts rows of the ledger into the model's objects."""

import json
from typing import Any, Final

from sqlalchemy import select

from farm.ledger.held_job import from_json
from farm.ledger.tables import jobs, specs
from farm.model.history import StoryLine, UnitFailure, UnitRecord
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.job_counts import JobCounts, Seen
from farm.model.messages import Failure, Figures, Reason
from farm.model.unit import Unit, UnitState
from farm.model.work import WORK

JOBS: Final = select(jobs, specs.c.spec).join(specs)
"""All jobs, each with its spec."""


def job_from(row: Any) -> Job:
    """Return the job in a row of JOBS."""
    spec = JobSpec.model_validate_json(row.spec)
    if row.priority is not None:
        spec = spec.model_copy(update={"priority": row.priority})
    return Job(
        row.id,
        spec,
        row.created,
        JobState(row.state),
        Wanted(row.wanted),
        row.reason,
        row.device,
        row.since,
    )


def counts_from(row: Any) -> JobCounts:
    """Return the counts of a job in its row."""
    units = from_json(row.counts)
    rendered = units - from_json(row.steps)
    return JobCounts(units, None if row.frames is None else Seen.of(row.frames, rendered))


def unit_record_from(row: Any) -> UnitRecord:
    """Return the record in a row of the table units, without its failures."""
    unit = Unit(
        row.job,
        row.name,
        row.source,
        row.target,
        tuple(json.loads(row.needs)),
        WORK.validate_json(row.work),
        row.is_tolerant,
        row.is_working,
        row.workers,
    )
    figures = Figures(**json.loads(row.figures)) if row.figures else None
    return UnitRecord(
        unit,
        UnitState(row.state),
        row.attempts,
        row.reason,
        figures,
        crashes=row.crashes,
        number=row.number,
        retried_from=row.retried_from,
    )


def failure_from(row: Any) -> UnitFailure:
    """Return the failure in a row of the table failures, joined with its traceback."""
    failure = Failure(Reason(row.reason), row.message, traceback=row.text or "")
    return UnitFailure(row.id, row.unit, row.attempt, failure)


def story_line_from(row: Any) -> StoryLine:
    """Return the change in a row of the table story."""
    state = UnitState(row.state)
    return StoryLine(row.id, row.at, row.unit, state, row.attempt, row.worker, row.reason, row.by)
