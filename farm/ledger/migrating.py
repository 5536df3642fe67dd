"""Creates the ledger's tables, and migrates those of older farms to the head revision.

Alembic is imported only if there is something to migrate, so that opening a ledger stays fast.
"""

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Table, func, insert, inspect, select, update

from farm.errors import UserError
from farm.ledger.tables import HEAD, about, alembic_version, metadata
from farm.ledger.trouble import first_line

if TYPE_CHECKING:
    from alembic.config import Config

BASELINE: Final = "0001"
"""The revision with the same tables as schema 2, the last one before revisions."""

_BASELINE_SCHEMA: Final = 2


def is_current(connection: Connection) -> bool:
    """Return whether the database is a ledger at the head revision. Changes nothing."""
    if alembic_version.name not in inspect(connection).get_table_names():
        return False
    return connection.scalar(select(alembic_version.c.version_num)) == HEAD


def migrate(connection: Connection) -> None:
    """Create the tables in an empty database, or migrate those of a ledger to HEAD.

    Raises UserError if the database is not a ledger, or if a newer farm wrote it.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        _create(connection)
        return
    if about.name not in tables:
        raise UserError(f"the database is not a ledger; it contains {', '.join(tables[:3])}")
    if alembic_version.name not in tables:
        _adopt(connection)
    revision = connection.scalar(select(alembic_version.c.version_num))
    if revision is None:
        raise UserError(_empty(alembic_version))
    if revision != HEAD:
        _check_known(revision)
        run_migrations(connection)


def run_migrations(connection: Connection) -> None:
    """Run every migration from the database's revision up to the newest one.

    Raises UserError if one of them fails, for whatever reason.
    """
    from alembic import command

    config = alembic_config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except Exception as error:
        raise UserError(
            f"it could not be brought up to date: {first_line(error)}; it is unchanged"
        ) from error


def alembic_config() -> "Config":
    """Return Alembic's configuration for the ledger's migrations."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "farm.ledger:migrations")
    return config


def _create(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.execute(insert(about).values(schema=_BASELINE_SCHEMA))
    connection.execute(insert(alembic_version).values(version_num=HEAD))


def _adopt(connection: Connection) -> None:
    """Stamp a ledger from before revisions with BASELINE."""
    schema = connection.scalar(select(func.max(about.c.schema)))
    if schema is None:
        raise UserError(_empty(about))
    if schema == 1:
        _upgrade_schema_1(connection)
    elif schema != _BASELINE_SCHEMA:
        raise UserError(_unknown_version(f"schema {schema}"))
    alembic_version.create(connection)
    connection.execute(insert(alembic_version).values(version_num=BASELINE))


def _upgrade_schema_1(connection: Connection) -> None:
    """Add the columns for films to the units of schema 1, which had none."""
    for column in (
        """work TEXT NOT NULL DEFAULT '{"kind": "render"}'""",
        "is_tolerant BOOLEAN NOT NULL DEFAULT FALSE",
        "is_working BOOLEAN NOT NULL DEFAULT FALSE",
    ):
        connection.exec_driver_sql(f"ALTER TABLE units ADD COLUMN {column}")
    connection.execute(update(about).values(schema=_BASELINE_SCHEMA))


def _check_known(revision: str) -> None:
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(alembic_config())
    if revision not in {script.revision for script in scripts.walk_revisions()}:
        raise UserError(_unknown_version(f"revision {revision}"))


def _empty(table: Table) -> str:
    return f"its table {table.name} is empty, so its version is unknown; it may be damaged"


def _unknown_version(version: str) -> str:
    return f"it was written by a newer version of the farm ({version}; this one uses {HEAD})"
