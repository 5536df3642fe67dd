"""Which versions of SQLite a ledger in a file can use: that of the Python which runs the farm counts."""

import sqlite3
from typing import Final

from sqlalchemy import Connection

from farm.errors import UserError

__all__ = ["ADVICE", "check_can_drop_column", "sqlite_fault"]

OLDEST: Final = (3, 31)
"""The oldest one that the ledger's tests were run with."""
DROPPING: Final = (3, 35)
"""The first one that can drop a column."""

ADVICE: Final = "use a Python with a newer one, or let FARM_LEDGER name a database of PostgreSQL"


def sqlite_fault() -> str:
    """Return why this Python can use no ledger in a file; empty if it can."""
    return "" if sqlite3.sqlite_version_info >= OLDEST else _needs("a ledger in a file", OLDEST)


def check_can_drop_column(connection: Connection) -> None:
    """Raise UserError if a ledger is in a file, and this Python can drop no column of it."""
    if connection.dialect.name == "sqlite" and sqlite3.sqlite_version_info < DROPPING:
        raise UserError(_needs("that", DROPPING))


def _needs(what: str, version: tuple[int, int]) -> str:
    oldest = ".".join(map(str, version))
    return f"{what} needs SQLite {oldest} or newer, and this Python has {sqlite3.sqlite_version}"
