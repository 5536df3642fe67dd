"""Converts rows of the ledger into the model's objects."""

import json
from typing import Any

from farm.model.history import UnitRecord
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import Failure, Figures, Reason
from farm.model.unit import Unit, UnitState
from farm.model.work import WORK


def job_from(row: Any) -> Job:
    """Return the job in a row of the table jobs."""
    return Job(
        row.id,
        JobSpec.model_validate_json(row.spec),
        row.created,
        JobState(row.state),
        Wanted(row.wanted),
        row.reason,
        row.device,
    )


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
    )
    figures = Figures(**json.loads(row.figures)) if row.figures else None
    return UnitRecord(
        unit, UnitState(row.state), row.attempts, row.reason, figures, crashes=row.crashes
    )


def failure_from(row: Any) -> Failure:
    """Return the failure in a row of the table failures, joined with its traceback."""
    return Failure(Reason(row.reason), row.message, traceback=row.text or "")


def story_line_from(row: Any) -> str:
    """Return a row of the table story as one line of text."""
    line = f"{row.at:.3f} {row.unit} {row.state} attempt {row.attempt} {row.worker} {row.reason}"
    return line.rstrip()
