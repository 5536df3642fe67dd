"""Removes old jobs from the ledger, a little at a time, so that nobody waits long for it.

The files of a job are left alone. A job that is half removed has ended, and the next call removes
the rest.
"""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, exists, func, select, text

from farm.ledger.tables import failures, farms, jobs, specs, story, tracebacks, units
from farm.model.job import COMPLETED, JobState
from farm.process import SILENT_SECONDS

ROWS: Final = 5000
"""The most rows that one transaction removes."""

_LATER: Final = jobs.alias("later")


def old_jobs(connection: Connection, before: float, keep: int) -> list[str]:
    """Return the jobs that ended before a time, oldest first, but for those that must stay.

    keep: how many ended jobs stay at least. A job that is not completed stays too, as long as no
    later job with its key has taken its place: it can be resumed.
    """
    count = connection.scalar(select(func.count(jobs.c.ended))) or 0
    later = exists().where(_LATER.c.key == jobs.c.key, _LATER.c.created > jobs.c.created)
    can_go = jobs.c.state.in_(COMPLETED) | later
    query = select(jobs.c.id).where(jobs.c.ended < before, can_go).order_by(jobs.c.ended)
    return list(connection.scalars(query.limit(max(0, count - keep))))


def remove_some(connection: Connection, job: str) -> bool:
    """Remove some rows of an ended job, or at last the job itself; return whether more are left.

    Nothing of a job that goes on meanwhile, because somebody tries its units again.
    """
    query = select(jobs.c.state).where(jobs.c.id == job).with_for_update()
    state = connection.scalar(query)
    if state is None or not JobState(state).is_final:
        return False
    if _remove_failures(connection, job) or _remove_rows(connection, story, story.c.id, job):
        return True
    if _remove_rows(connection, units, units.c.number, job):
        return True
    connection.execute(delete(specs).where(specs.c.job == job))
    connection.execute(delete(jobs).where(jobs.c.id == job))
    return False


def remove_unplanned(connection: Connection, job: str, owner: str, epoch: int) -> None:
    """Remove a job that was never planned, if its owner and epoch are these."""
    own = jobs.c.owner == owner, jobs.c.epoch == epoch, jobs.c.state == JobState.PLANNING
    unplanned = select(jobs.c.id).where(jobs.c.id == job, *own)
    if connection.scalar(unplanned.with_for_update()):
        connection.execute(delete(specs).where(specs.c.job == job))
        connection.execute(delete(jobs).where(jobs.c.id == job))


def _remove_rows(connection: Connection, table: Table, number: Any, job: str) -> bool:
    """Remove the first rows of a job from a table; return whether there were any."""
    of_job = table.c.job == job
    some = list(connection.scalars(select(number).where(of_job).order_by(number).limit(ROWS)))
    if some:
        connection.execute(delete(table).where(of_job, number <= some[-1]))
    return bool(some)


def _remove_failures(connection: Connection, job: str) -> bool:
    """Remove failures of a job, and tracebacks that only they had."""
    query = select(failures.c.id, failures.c.digest).where(failures.c.job == job)
    rows = connection.execute(query.order_by(failures.c.id).limit(ROWS)).all()
    if not rows:
        return False
    if connection.dialect.name == "postgresql":
        # A farm stores a failure, then its traceback: it waits here before it looks for that.
        connection.execute(text("LOCK TABLE failures IN SHARE ROW EXCLUSIVE MODE"))
    connection.execute(delete(failures).where(failures.c.job == job, failures.c.id <= rows[-1].id))
    for digests in _some({row.digest for row in rows if row.digest}):
        is_used = exists().where(failures.c.digest == tracebacks.c.digest)
        orphans = delete(tracebacks).where(tracebacks.c.digest.in_(digests), ~is_used)
        connection.execute(orphans)
    return True


def _some(digests: set[str], size: int = 500) -> Iterator[list[str]]:
    rest = sorted(digests)
    while rest:
        yield rest[:size]
        rest = rest[size:]


def remove_farms(connection: Connection, before: float) -> None:
    """Remove farms that ended or fell silent before a time and own no job."""
    owned = exists().where(jobs.c.owner == farms.c.id)
    silent = farms.c.heartbeat < before - SILENT_SECONDS
    connection.execute(delete(farms).where(silent, ~owned))
