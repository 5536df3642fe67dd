"""Tells passing errors of the database from permanent ones."""

from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

_PASSING: Final = MappingProxyType(
    {
        "SQLITE_BUSY": "is locked by another program",
        "SQLITE_LOCKED": "is locked by another program",
        "SQLITE_PROTOCOL": "is locked by another program",
        "SQLITE_FULL": "cannot be written because its disk is full",
        "SQLITE_IOERR": "cannot be read or written because its disk reports an error",
        "SQLITE_CANTOPEN": "cannot be opened",
        "SQLITE_READONLY": "cannot be written because it is read-only",
        "SQLITE_READONLY_DBMOVED": "was moved or deleted",
    }
)
"""What is wrong with SQLite's file, by the error's name or the first two words of it."""


def passing_trouble(error: SQLAlchemyError) -> str | None:
    """Return what is wrong with the ledger, to follow its name; None if the error is permanent."""
    if not isinstance(error, DBAPIError):
        return None
    name = getattr(error.orig, "sqlite_errorname", None)
    if name is not None:
        return _PASSING.get(name) or _PASSING.get("_".join(name.split("_")[:2]))
    if error.connection_invalidated or isinstance(error, OperationalError):
        return f"does not answer ({first_line(error)})"
    return None


def first_line(error: Exception) -> str:
    """Return the first line of an error, or of the driver's own error if it wraps one."""
    text = str(getattr(error, "orig", None) or error) or type(error).__name__
    return text.splitlines()[0]
