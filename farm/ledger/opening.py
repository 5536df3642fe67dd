"""Connects to the ledger's database: a file of SQLite, or PostgreSQL by URL."""

import sqlite3
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from farm.errors import UserError
from farm.ledger.migrating import is_current, migrate
from farm.ledger.postgres import lock_schema, postgres_engine
from farm.ledger.sqlite_version import ADVICE, sqlite_fault
from farm.ledger.trouble import first_line

READS: Final = "farm_reads"
"""Execution option of a connection that only reads, so that it does not wait for a writer."""

_PRAGMAS: Final = (
    "busy_timeout=3000",  # so that Ctrl-C has an effect soon
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
)


_INSIST_SECONDS: Final = 3.0
"""How long a farm waits for others that create the same ledger."""

_KNOWN: Final = "sqlite:///FILE or postgresql://HOST/NAME"

_SIZES: Final = {
    "sqlite": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
    "postgresql": "SELECT pg_database_size(current_database())",
}


def open_engine(url: str) -> Engine:
    """Return an engine for the ledger at a database URL, created or migrated if necessary.

    Raises UserError, in one line and without the password, if that is impossible.
    """
    if url.startswith("sqlite") and (fault := sqlite_fault()):
        raise UserError(f"{fault}; {ADVICE}")
    try:
        with ExitStack() as stack:
            engine = _connectable(url)
            stack.callback(engine.dispose)
            with reading(engine) as connection:
                is_ready = is_current(connection)
            if not is_ready:
                with engine.begin() as connection:
                    if engine.dialect.name == "postgresql":
                        lock_schema(connection)
                    migrate(connection)
            stack.pop_all()
    except (ValueError, ArgumentError):
        shown = f"{url.partition(':')[0]}:..."  # the rest may have a password
        raise UserError(_refusal(url, f"{shown} is not a database URL; use {_KNOWN}")) from None
    except UserError as error:
        raise UserError(_refusal(url, str(error))) from None
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise UserError(_refusal(url, first_line(error))) from error
    return engine


def check_exists(url: str) -> None:
    """Raise UserError if a database URL names a file that is not there."""
    with suppress(SQLAlchemyError, ValueError):  # open_engine says what is wrong with it
        parsed = make_url(url)
        is_file = parsed.get_backend_name() == "sqlite" and parsed.database
        if is_file and not Path(str(parsed.database)).exists():
            raise UserError(
                f"there is no ledger at {parsed.database}; the first job creates it, or set FARM_LEDGER"
            )


def reading(engine: Engine) -> Connection:
    """Return a connection that only reads, all from one moment, to be used in a with statement."""
    options: dict[str, Any] = {READS: True}
    if engine.dialect.name == "postgresql":
        options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    return engine.connect().execution_options(**options)


def address_of(engine: Engine) -> str:
    """Return the file of the database, or its URL without the password."""
    if engine.dialect.name == "sqlite" and engine.url.database:
        return engine.url.database
    return engine.url.render_as_string(hide_password=True)


def size_of(connection: Connection) -> int:
    """Return how many bytes a database takes."""
    query = _SIZES[connection.dialect.name]
    return int(connection.exec_driver_sql(query).scalar_one())


def _connectable(url: str) -> Engine:
    parsed = make_url(url)
    match parsed.get_backend_name():
        case "sqlite":
            return _sqlite_engine(parsed)
        case "postgresql" | "postgres":
            return postgres_engine(parsed)
        case other:
            raise UserError(f"there is no {other} ledger; use {_KNOWN}")


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url)
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        _insist(connection, f"PRAGMA {pragma}")


def _insist(connection: Any, statement: str) -> None:
    """Run a statement that SQLite refuses at once, whatever its timeout, while another farm runs it."""
    deadline = time.monotonic() + _INSIST_SECONDS
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    is_read = connection.get_execution_options().get(READS, False)
    connection.exec_driver_sql("BEGIN" if is_read else "BEGIN IMMEDIATE")


def _refusal(url: str, reason: str) -> str:
    try:
        address = make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):
        address = "at FARM_LEDGER"
    other = "file" if url.startswith("sqlite") else "database"
    return f"cannot open the ledger {address}: {reason}; set FARM_LEDGER to another {other}"
