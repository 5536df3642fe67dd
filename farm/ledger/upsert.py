"""Inserts of rows that may be there already, in the words of each database."""

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

Insert = postgresql.Insert | sqlite.Insert


def upsert(connection: Connection, table: Table, *changed: str) -> Insert:
    """Return an insert that leaves a row with the same key as it is, but for the changed columns."""
    if connection.dialect.name == "postgresql":
        insert: Insert = postgresql.insert(table)
    else:
        insert = sqlite.insert(table)
    key = [column.name for column in table.primary_key]
    if not changed:
        return insert.on_conflict_do_nothing(index_elements=key)
    new = {name: insert.excluded[name] for name in changed}
    return insert.on_conflict_do_update(index_elements=key, set_=new)
