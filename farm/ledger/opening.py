"""Connects to the ledger's database: SQLite with suitable settings, or any other by URL."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import SQLAlchemyError

from farm.errors import UserError
from farm.ledger.migrating import migrate


def open_engine(url: str) -> Engine:
    """Return an engine for the ledger at a database URL, created or migrated if necessary.

    Raises UserError, in one line and without the password, if that is impossible.
    """
    try:
        with ExitStack() as stack:
            engine = _connectable(url)
            stack.callback(engine.dispose)
            with engine.begin() as connection:
                migrate(connection)
            stack.pop_all()
    except ValueError:
        raise UserError(_refusal(url, "this is not a database URL")) from None
    except UserError as error:
        raise UserError(_refusal(url, str(error))) from None
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise UserError(_refusal(url, first_line(error))) from error
    return engine


def first_line(error: Exception) -> str:
    """Return the first line of an error, or of the driver's own error if it wraps one."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _connectable(url: str) -> Engine:
    parsed = make_url(url)
    engine = create_engine(parsed)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _refusal(url: str, reason: str) -> str:
    try:
        address = make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):
        address = "at FARM_LEDGER"
    return f"cannot open the ledger {address}: {reason}; set FARM_LEDGER to another file"
