"""A cancellation, which thousands of units share: written by two statements."""

from typing import Any

from sqlalchemy import Connection, insert, literal, select, update

from farm.errors import FarmBug
from farm.ledger.tables import story, units
from farm.model.events import UnitsCancelled
from farm.model.unit import WAITING, UnitState

__all__ = ["write_cancellation"]


def write_cancellation(
    connection: Connection, change: UnitsCancelled, reason: str, now: float
) -> None:
    """Cancel all units of a job that wait, and add the change of each to the story.

    reason: as it can be stored. now: Unix seconds. Raises FarmBug if other units wait than the farm
    says.
    """
    theirs = units.c.job == change.job, units.c.state.in_(WAITING)
    line: dict[str, Any] = {
        "at": literal(now),
        "job": units.c.job,
        "unit": units.c.name,
        "state": literal(str(UnitState.CANCELLED)),
        "attempt": units.c.attempts,
        "worker": literal(""),
        "reason": literal(reason),
        "by": literal(change.by),
    }
    lines = select(*line.values()).where(*theirs).order_by(units.c.number)
    connection.execute(insert(story).from_select(list(line), lines))
    ended = update(units).where(*theirs).values(state=UnitState.CANCELLED, reason=reason)
    count = connection.execute(ended).rowcount
    if count != len(change.units):
        raise FarmBug(f"{count} units of job {change.job} wait, and {len(change.units)} should")
