"""What is known of a job's units from earlier jobs with the same key.

A job that resumes another one carries over what is known of each of its units. The search
therefore starts with the newest job, and for each target ends at the first resumed job that has it.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any, Final

from sqlalchemy import Connection, select

from farm.ledger.reading import unit_record_from
from farm.ledger.tables import farms, jobs, units
from farm.model.history import UnitRecord
from farm.model.unit import HELD, UnitState

_FEW: Final = 500
"""The most targets that a query names."""


def finished(connection: Connection, key: str, targets: Collection[str]) -> dict[str, UnitRecord]:
    """Return the latest success for each of the targets, among all jobs with this key."""
    found: dict[str, UnitRecord] = {}
    left = set(targets)
    for row, _ in _rows(connection, key, left):
        if row.figures:
            found[row.target] = unit_record_from(row)
            left.discard(row.target)
    return found


def crashes(connection: Connection, key: str, targets: Collection[str]) -> Counter[str]:
    """Return for each of the targets how many farms in a row died while they held its unit."""
    counts: Counter[str] = Counter()
    left = set(targets)
    for row, has_owner_died in _rows(connection, key, left):
        state = UnitState(row.state)
        if state.is_final:
            left.discard(row.target)
        else:
            counts[row.target] += row.crashes + (has_owner_died and state in HELD)
    return +counts


def _rows(connection: Connection, key: str, left: set[str]) -> Iterator[tuple[Any, bool]]:
    """Yield the units of jobs with a key that have one of the targets, newest first.

    With each comes whether the owner of its job died. left: the targets to look for; the caller
    removes those it has found. Each target is in a job at most once.
    """
    query = (
        select(jobs.c.id, jobs.c.is_resumed, farms.c.ended)
        .outerjoin(farms, farms.c.id == jobs.c.owner)
        .where(jobs.c.key == key)
        .order_by(jobs.c.created.desc())
    )
    for job in connection.execute(query).all():
        if not left:
            return
        for row in _units_of(connection, job.id, left):
            if row.target in left:
                yield row, job.ended is None
            if job.is_resumed:
                left.discard(row.target)


def _units_of(connection: Connection, job: str, left: Collection[str]) -> Iterator[Any]:
    query = select(units).where(units.c.job == job)
    if len(left) <= _FEW:
        query = query.where(units.c.target.in_(list(left)))
    yield from connection.execute(query)
