"""Ids of jobs, of which people type only the beginning."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, select

from farm.errors import NotFound
from farm.ledger.tables import jobs

__all__ = ["whole_id"]

_NAMED: Final = 5
"""Ids that a refusal names."""


def whole_id(connection: Connection, start: str) -> str:
    """Return the id of a job that is this text, or else the only one that begins with it.

    Raises NotFound, and names some of those that begin so if there are several.
    """
    if connection.scalar(select(jobs.c.id).where(jobs.c.id == start)):
        return start
    like = select(jobs.c.id).where(jobs.c.id.startswith(start, autoescape=True))
    found = connection.scalars(like.order_by(jobs.c.id).limit(_NAMED + 1)).all()
    if len(found) != 1:
        raise NotFound(_refusal(start, found))
    return str(found[0])


def _refusal(start: str, found: Sequence[str]) -> str:
    if not found:
        return f"no job has the id {start}, or one that begins so; `farm jobs` lists them"
    named = ", ".join(found[:_NAMED]) + (", ..." if len(found) > _NAMED else "")
    return f"several jobs have an id that begins with {start}: {named}; give more of it"
