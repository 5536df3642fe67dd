"""Ledgers of older farms are brought to the head revision; those of newer farms are refused."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from farm.errors import UserError
from farm.ledger import Ledger
from farm.ledger.migrating import BASELINE, alembic_config, migrate, run_migrations
from farm.ledger.tables import HEAD, metadata
from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState

UNIT = Unit("job", "a", "in/a.png", "out/a.png")

OLD_JOB = "INSERT INTO jobs VALUES (?, ?, ?, ?, ?, 'run', '')"
OLD_UNIT = "INSERT INTO units VALUES (?, ?, ?, ?, ?, '[]', ?, FALSE, FALSE, ?, 1, '', ?)"
OLD_FAILURE = (
    "INSERT INTO failures (job, unit, attempt, reason, message, traceback)"
    " VALUES (?, 'b', ?, 'bug', 'it broke', ?)"
)
RENDER = '{"kind": "render"}'
OLD_UNITS = (("a", "succeeded", json.dumps(asdict(Figures()))), ("b", "running", None))


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


@pytest.fixture
def old_file(tmp_path: Path, spec: JobSpec) -> Path:
    """A ledger as the first revision made it, with an old job and one that was killed."""
    file = tmp_path / "old.db"
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, BASELINE)
        for job, created, job_state in (("old", 0.5, "completed"), ("job", 1.0, "running")):
            connection.exec_driver_sql(
                OLD_JOB, (job, spec.key, spec.model_dump_json(), created, job_state)
            )
            for number, (name, state, figures) in enumerate(OLD_UNITS):
                unit = (job, number, name, f"in/{name}.png", f"out/{name}.png", RENDER)
                connection.exec_driver_sql(OLD_UNIT, (*unit, state, figures))
            for attempt, traceback in enumerate(("Traceback ...", "", "Traceback ...")):
                connection.exec_driver_sql(OLD_FAILURE, (job, attempt, traceback))
    engine.dispose()
    return file


def test_an_old_ledger_keeps_everything_that_it_knows(old_file: Path, spec: JobSpec) -> None:
    with closing(Ledger.open(f"sqlite:///{old_file}")) as ledger:
        old, job = ledger.jobs()
        assert (old.id, old.spec, old.state) == ("old", spec, JobState.COMPLETED)
        assert job == Job("job", spec, 1.0, JobState.RUNNING)
        assert ledger.latest(spec.task, spec.output) == job
        assert [j.id for j in ledger.unfinished()] == ["job"]
        done, held = ledger.units("job")
        assert (done.unit, done.figures) == (UNIT, Figures())
        assert [f.traceback for f in held.failures] == ["Traceback ...", "", "Traceback ..."]
        assert ledger.counts("job") == {UnitState.SUCCEEDED: 1, UnitState.RUNNING: 1}
        targets = [done.unit.target, held.unit.target]
        assert set(ledger.finished(spec.key, targets)) == {UNIT.target}
        assert ledger.crashes(spec.key, targets) == {held.unit.target: 2}
    with closing(sqlite3.connect(old_file)) as connection:
        assert connection.execute("SELECT text FROM tracebacks").fetchall() == [("Traceback ...",)]


def test_a_job_of_an_old_ledger_can_be_taken_and_ended(old_file: Path) -> None:
    with closing(Ledger.open(f"sqlite:///{old_file}")) as ledger:
        ledger.take("job", 2.0)
        done = UnitChanged(ledger.units("job")[1].unit, UnitState.SUCCEEDED, 1)
        ledger.record([done], 3.0)
        assert ledger.counts("job") == {UnitState.SUCCEEDED: 2}


def assert_opens_at_head(file: Path) -> None:
    with closing(Ledger.open(f"sqlite:///{file}")) as ledger:
        assert ledger.units("job")[0].unit == UNIT
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT schema FROM about").fetchall() == [(2,)]
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]


def test_a_ledger_from_before_revisions_is_adopted_and_migrated(old_file: Path) -> None:
    execute(old_file, "DROP TABLE alembic_version")
    for _ in range(2):
        assert_opens_at_head(old_file)


def test_a_ledger_of_schema_1_is_upgraded(old_file: Path) -> None:
    columns = ("work", "is_tolerant", "is_working")
    execute(
        old_file,
        "DROP TABLE alembic_version",
        *(f"ALTER TABLE units DROP COLUMN {column}" for column in columns),
        "UPDATE about SET schema = 1",
    )
    for _ in range(2):
        assert_opens_at_head(old_file)


@pytest.mark.parametrize("spec_text", ["{}", "not JSON"])
def test_a_migration_that_fails_says_so_in_one_line_and_changes_nothing(
    old_file: Path, spec_text: str
) -> None:
    with closing(sqlite3.connect(old_file)) as connection:
        connection.execute("UPDATE jobs SET spec = ?", [spec_text])
        connection.commit()
    before = dump(old_file)
    message = refusal(old_file)
    assert "it could not be brought up to date: " in message
    assert "it is unchanged; set FARM_LEDGER to another file" in message
    assert "\n" not in message
    assert dump(old_file) == before


@pytest.mark.parametrize(
    ("table", "statements"),
    [
        ("about", ["DROP TABLE alembic_version", "DELETE FROM about"]),
        ("alembic_version", ["DELETE FROM alembic_version"]),
    ],
)
def test_a_ledger_of_no_version_is_refused(
    old_file: Path, table: str, statements: list[str]
) -> None:
    execute(old_file, *statements)
    message = refusal(old_file)
    assert f"its table {table} is empty, so its version is unknown; it may be damaged" in message
    assert "None" not in message


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
