"""Tells passing errors of the database from permanent ones, and says what to do about those."""

from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
    StatementError,
    TimeoutError,  # noqa: A004 - of the pool of connections
)

from farm.errors import FarmBug, FarmError, UserError

_SQLITE: Final = MappingProxyType(
    {
        "SQLITE_BUSY": "is locked by another program",
        "SQLITE_LOCKED": "is locked by another program",
        "SQLITE_PROTOCOL": "is locked by another program",
        "SQLITE_FULL": "cannot be written because its disk is full",
        "SQLITE_IOERR": "cannot be read or written because its disk reports an error",
        "SQLITE_CANTOPEN": "cannot be opened",
        "SQLITE_PERM": "cannot be opened",
        "SQLITE_NOMEM": "cannot be read because memory is full",
        "SQLITE_READONLY": "cannot be written because it is read-only",
        "SQLITE_READONLY_DBMOVED": "was moved or deleted",
    }
)
"""What is wrong with SQLite's file, by the error's name or the first two words of it."""

_POSTGRES: Final = MappingProxyType(
    {
        "08": "has lost its connection",
        "25006": "cannot be written because the server is a standby or read-only",
        "25P03": "has lost its connection",
        "40": "is in use by another program at the same place",
        "53": "has no memory, or another resource, to spare",
        "53100": "cannot be written because its disk is full",
        "53300": "takes no more connections",
        "55P03": "is locked by another program",
        "57": "is shutting down or starting",
        "57014": "takes too long to answer",
        "58": "cannot be read or written because its disk reports an error",
    }
)
"""What is wrong with PostgreSQL at present, by the error's SQLSTATE or its class."""

_DAMAGED: Final = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB", "XX001", "XX002"})


def passing_trouble(error: SQLAlchemyError) -> str | None:
    """Return what is wrong with the ledger, to follow its name; None if the error is permanent."""
    if isinstance(error, TimeoutError):
        return "does not answer (all connections are in use)"
    if not isinstance(error, DBAPIError):
        return None
    code = _code(error)
    if code.startswith("SQLITE"):
        return _SQLITE.get(code) or _SQLITE.get("_".join(code.split("_")[:2]))
    if trouble := _POSTGRES.get(code) or _POSTGRES.get(code[:2]):
        return f"{trouble} ({first_line(error)})"
    if error.connection_invalidated or (isinstance(error, OperationalError) and not code):
        return f"does not answer ({first_line(error)})"
    return None


def failure(ledger: str, error: SQLAlchemyError) -> FarmError:
    """Return the farm's own error for a permanent error of the database."""
    line = first_line(error)
    if _code(error) in _DAMAGED:
        return UserError(f"the ledger {ledger} is damaged: {line}; restore it from a copy")
    if isinstance(error, IntegrityError | DataError) or not isinstance(error, DBAPIError):
        return FarmBug(f"the ledger {ledger} refuses what the farm stores: {line}")
    return UserError(
        f"the ledger {ledger} failed: {line}; check that nobody else has changed its tables"
    )


def _code(error: SQLAlchemyError) -> str:
    """Return the driver's name or number of an error; nothing if it has none."""
    cause = error.orig if isinstance(error, StatementError) else None
    names = ("sqlite_errorname", "sqlstate", "pgcode")
    return next((code for name in names if (code := getattr(cause, name, None))), "")


def first_line(error: Exception) -> str:
    """Return the first line of an error, or of the driver's own error if it wraps one."""
    text = str(getattr(error, "orig", None) or error) or type(error).__name__
    return text.splitlines()[0]
