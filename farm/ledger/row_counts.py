"""How much a ledger holds."""

from typing import Final

from sqlalchemy import Connection, func, select

from farm.ledger.tables import failures, jobs, story, units

COUNTED: Final = (jobs, units, story, failures)
"""The tables that grow with the jobs."""


def rows_of(connection: Connection) -> dict[str, int]:
    """Return the number of rows of each of these tables. It reads all of an index."""
    queries = {table.name: select(func.count()).select_from(table) for table in COUNTED}
    return {name: int(connection.scalar(query) or 0) for name, query in queries.items()}
