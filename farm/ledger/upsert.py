"""Inserts of rows that may be there already, in the words of each database."""

from sqlalchemy import ColumnElement, Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


def upsert(connection: Connection, table: Table, *changed: str) -> Insert:
    """Return an insert that leaves a row with the same key as it is, but for the changed columns."""
    insert = _insert(connection.dialect.name, table)
    if not changed:
        return insert.on_conflict_do_nothing(index_elements=_key(table))
    new = {name: insert.excluded[name] for name in changed}
    return insert.on_conflict_do_update(index_elements=_key(table), set_=new)


def add_up(
    dialect: str, table: Table, sums: list[str], kept: ColumnElement[float], *changed: str
) -> Insert:
    """Return an insert that adds to these sums of a row with the same key, as upsert does.

    dialect: name of the database's. kept: the share of the earlier sums that still counts.
    """
    insert = _insert(dialect, table)
    new: dict[str, ColumnElement[float]] = {name: insert.excluded[name] for name in changed}
    new |= {name: table.c[name] * kept + insert.excluded[name] for name in sums}
    return insert.on_conflict_do_update(index_elements=_key(table), set_=new)


def _insert(dialect: str, table: Table) -> Insert:
    if dialect == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def _key(table: Table) -> list[str]:
    return [column.name for column in table.primary_key]
