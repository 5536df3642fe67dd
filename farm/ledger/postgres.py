"""Connects to PostgreSQL, and asks of it never to let the farm wait for long."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, text

from farm.errors import UserError

_DRIVER: Final = "postgresql+psycopg"
_PLAIN: Final = {"postgres", "postgresql"}

_CONNECTION: Final = {
    "application_name": "farm",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",  # milliseconds
}
"""What libpq is told unless the URL says otherwise: a server that is gone is noticed in seconds."""

_SESSION: Final = (
    "SET lock_timeout = '3s'; SET statement_timeout = '60s';"
    " SET idle_in_transaction_session_timeout = '60s'; SET client_encoding = 'UTF8'"
)

_SCHEMA_LOCK: Final = 0x6661726D  # "farm"


def postgres_engine(url: URL) -> Engine:
    """Return an engine for a server. Raises UserError if its driver is not installed."""
    url = url.set(drivername=_DRIVER) if url.drivername in _PLAIN else url
    defaults = {name: value for name, value in _CONNECTION.items() if name not in url.query}
    try:
        engine = create_engine(
            url, connect_args=defaults, pool_pre_ping=True, pool_timeout=5, pool_use_lifo=True
        )
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed; run pip install 'neural-render-farm[postgres]'"
        ) from None
    event.listen(engine, "connect", _set_up)
    return engine


def lock_schema(connection: Connection) -> None:
    """Let one farm at a time create or migrate the tables, however long it takes."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = '60s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})


def insert_columns(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]
) -> None:
    """Insert many rows in one statement, which takes an array for each column."""
    columns = [table.c[name] for name in rows[0]]
    types = (column.type.compile(connection.dialect) for column in columns)
    arrays = (f"%({c.name})s::{kind}[]" for c, kind in zip(columns, types, strict=True))
    names = ", ".join(column.name for column in columns)
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({names}) SELECT * FROM unnest({', '.join(arrays)})",  # noqa: S608
        {column.name: [row[column.name] for row in rows] for column in columns},
    )


def _set_up(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SESSION)
    connection.commit()
