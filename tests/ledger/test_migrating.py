"""Ledgers of older farms are brought to the head revision; those of newer farms are refused."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from farm.errors import UserError
from farm.ledger import Ledger
from farm.ledger.migrating import BASELINE, alembic_config, migrate, run_migrations
from farm.ledger.tables import HEAD, metadata
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec
from farm.model.unit import Unit, UnitState

UNIT = Unit("job", "a", "in/a.png", "out/a.png")


@pytest.fixture
def file(ledger_url: str, spec: JobSpec) -> Path:
    """A closed ledger with one job of one unit."""
    with closing(Ledger.open(ledger_url)) as ledger:
        ledger.add(Job("job", spec, 1.0), [RestoredUnit(UNIT, UnitState.READY)])
    return Path(ledger_url.removeprefix("sqlite:///"))


def execute(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def dump(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


def refusal(file: Path) -> str:
    with pytest.raises(UserError) as caught:
        Ledger.open(f"sqlite:///{file}")
    return str(caught.value)


def assert_opens_at_head(file: Path) -> None:
    with closing(Ledger.open(f"sqlite:///{file}")) as ledger:
        assert [record.unit for record in ledger.units("job")] == [UNIT]
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT schema FROM about").fetchall() == [(2,)]
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_a_ledger_from_before_revisions_is_adopted(file: Path) -> None:
    before = dump(file)
    execute(file, "DROP TABLE alembic_version")
    assert_opens_at_head(file)
    assert dump(file) == before


def test_a_ledger_of_schema_1_is_upgraded(file: Path) -> None:
    columns = ("work", "is_tolerant", "is_working")
    execute(
        file,
        "DROP TABLE alembic_version",
        *(f"ALTER TABLE units DROP COLUMN {column}" for column in columns),
        "UPDATE about SET schema = 1",
    )
    for _ in range(2):
        assert_opens_at_head(file)


def test_a_ledger_of_an_unknown_schema_is_refused_and_left_unchanged(file: Path) -> None:
    execute(file, "DROP TABLE alembic_version", "UPDATE about SET schema = 99")
    before = dump(file)
    assert refusal(file) == (
        f"cannot open the ledger sqlite:///{file}: it was written by a newer version of the farm "
        f"(schema 99; this one uses {HEAD}); set FARM_LEDGER to another file"
    )
    assert dump(file) == before


def test_a_ledger_of_an_unknown_revision_is_refused_and_left_unchanged(file: Path) -> None:
    execute(file, "UPDATE alembic_version SET version_num = '9999'")
    before = dump(file)
    assert refusal(file) == (
        f"cannot open the ledger sqlite:///{file}: it was written by a newer version of the farm "
        f"(revision 9999; this one uses {HEAD}); set FARM_LEDGER to another file"
    )
    assert dump(file) == before


def test_a_database_that_another_program_migrates_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    execute(file, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert "the database is not a ledger; it contains alembic_version;" in refusal(file)


OPEN = """
import sys
from farm.ledger import Ledger

Ledger.open(sys.argv[1]).close()
assert "alembic" not in sys.modules
"""


@pytest.mark.slow
def test_creating_and_opening_a_ledger_do_not_import_alembic(ledger_url: str) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", OPEN, ledger_url], check=True)


# The schema


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[[str], Connection]]:
    """Connects to a database of this name."""
    engines, connections = [], []

    def connect(name: str) -> Connection:
        engines.append(create_engine(f"sqlite:///{tmp_path / name}"))
        connections.append(engines[-1].connect())
        return connections[-1]

    yield connect
    for connection, engine in zip(connections, engines, strict=True):
        connection.close()
        engine.dispose()


def schema(connection: Connection) -> dict[str, object]:
    """Return the columns, keys and indexes of every table."""
    inspector = inspect(connection)
    return {
        table: (
            [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            inspector.get_pk_constraint(table),
            inspector.get_foreign_keys(table),
            sorted(inspector.get_indexes(table), key=lambda index: str(index["name"])),
            inspector.get_unique_constraints(table),
            inspector.get_check_constraints(table),
        )
        for table in inspector.get_table_names()
    }


def rows(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    return {
        table.name: [tuple(row) for row in connection.execute(table.select())]
        for table in metadata.sorted_tables
    }


def test_the_migrations_create_the_same_database_as_the_tables(
    connect: Callable[[str], Connection],
) -> None:
    migrated, created = connect("migrated.db"), connect("created.db")
    run_migrations(migrated)
    migrate(created)
    assert schema(migrated) == schema(created)
    assert rows(migrated) == rows(created)
    assert compare_metadata(MigrationContext.configure(migrated), metadata) == []


def test_the_head_constant_is_the_newest_revision() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == [HEAD]
    assert scripts.get_bases() == [BASELINE]
