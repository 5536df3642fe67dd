"""Ledgers of older farms are brought to the head revision; those of newer farms are refused."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from functools import partial

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, text

from farm.errors import UserError
from farm.ledger import Ledger
from farm.ledger.migrating import BASELINE, alembic_config, migrate, run_migrations
from farm.ledger.opening import _connectable
from farm.ledger.tables import HEAD, metadata
from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.job_counts import JobCounts
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState

from ..postgres_server import PostgresServer  # noqa: TID252 - shared between rooms
from .farms import at_once

UNIT = Unit("job", "a", "in/a.png", "out/a.png")

OLD_JOB = "INSERT INTO jobs VALUES (:id, :key, :spec, :created, :state, 'run', '')"
OLD_UNIT = (
    "INSERT INTO units VALUES (:job, :number, :name, :source, :target, '[]', :work,"
    " FALSE, FALSE, :state, 1, '', :figures)"
)
OLD_STORY = (
    "INSERT INTO story (at, job, unit, state, attempt, worker, reason, by)"
    " VALUES (:at, :job, 'a', 'succeeded', 1, '', '', 'policy')"
)
OLD_FAILURE = (
    "INSERT INTO failures (job, unit, attempt, reason, message, traceback)"
    " VALUES (:job, 'b', :attempt, 'bug', 'it broke', :traceback)"
)
RENDER = '{"kind": "render"}'
OLD_UNITS = (("a", "succeeded", json.dumps(asdict(Figures()))), ("b", "running", None))


@contextmanager
def database(url: str) -> Iterator[Connection]:
    """Change a database behind the ledger's back."""
    engine = _connectable(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def execute(url: str, *statements: str) -> None:
    with database(url) as connection:
        for statement in statements:
            connection.execute(text(statement))


def query(url: str, statement: str) -> list[tuple[object, ...]]:
    with database(url) as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def dump(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table."""
    with database(url) as connection:
        there = MetaData()
        there.reflect(connection)
        return {
            table.name: [tuple(row) for row in connection.execute(table.select())]
            for table in there.sorted_tables
        }


def refusal(url: str) -> str:
    with pytest.raises(UserError) as caught:
        Ledger.open(url)
    return str(caught.value)


@pytest.fixture
def known(ledger_url: str, spec: JobSpec) -> str:
    """A closed ledger with one job of one unit."""
    with closing(Ledger.open(ledger_url)) as ledger:
        ledger.add(Job("job", spec, 1.0), [RestoredUnit(UNIT, UnitState.READY)])
    return ledger_url


@pytest.fixture
def old(ledger_url: str, spec: JobSpec) -> str:
    """A ledger as the first revision made it, with an old job and one that was killed."""
    with database(ledger_url) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, BASELINE)
        job = {"key": spec.key, "spec": spec.model_dump_json()}
        for name, created, job_state in (("old", 0.5, "completed"), ("job", 1.0, "running")):
            row = {**job, "id": name, "created": created, "state": job_state}
            connection.execute(text(OLD_JOB), row)
            for number, (unit, state, figures) in enumerate(OLD_UNITS):
                row = {"job": name, "number": number, "name": unit, "work": RENDER}
                row |= {"source": f"in/{unit}.png", "target": f"out/{unit}.png"}
                connection.execute(text(OLD_UNIT), {**row, "state": state, "figures": figures})
            for attempt, traceback in enumerate(("Traceback ...", "", "Traceback ...")):
                row = {"job": name, "attempt": attempt, "traceback": traceback}
                connection.execute(text(OLD_FAILURE), row)
        for at in (0.75, 0.875):
            connection.execute(text(OLD_STORY), {"at": at, "job": "old"})
    return ledger_url


def test_an_old_ledger_keeps_everything_that_it_knows(old: str, spec: JobSpec) -> None:
    with closing(Ledger.open(old)) as ledger:
        job, ended = ledger.jobs()
        assert (ended.id, ended.spec, ended.state) == ("old", spec, JobState.COMPLETED)
        assert job == Job("job", spec, 1.0, JobState.RUNNING, since=1.0)
        assert ledger.latest(spec.task, spec.output) == job
        assert [j.id for j in ledger.unfinished()] == ["job"]
        done, held = ledger.units("job")
        assert (done.unit, done.figures) == (UNIT, Figures())
        assert [f.traceback for f in held.failures] == ["Traceback ...", "", "Traceback ..."]
        assert ledger.counts("job") == {UnitState.SUCCEEDED: 1, UnitState.RUNNING: 1}
        targets = [done.unit.target, held.unit.target]
        assert set(ledger.finished(spec.key, targets)) == {UNIT.target}
        assert ledger.crashes(spec.key, targets) == {held.unit.target: 2}
    assert query(old, "SELECT text FROM tracebacks") == [("Traceback ...",)]


def test_an_ended_job_of_an_old_ledger_ended_with_its_last_change(old: str) -> None:
    with closing(Ledger.open(old)) as ledger:
        assert ledger.forget(0.875) == 0
        assert ledger.forget(0.876) == 1
        assert [job.id for job in ledger.jobs()] == ["job"]


def test_an_ended_job_of_an_old_ledger_is_in_its_state_since_it_ended(old: str) -> None:
    with closing(Ledger.open(old)) as ledger:
        assert [job.since for job in ledger.jobs()] == [1.0, 0.875]


def test_a_completed_job_of_an_old_ledger_says_if_units_failed(old: str) -> None:
    execute(old, "UPDATE units SET state = 'quarantined' WHERE job = 'old' AND name = 'b'")
    with closing(Ledger.open(old)) as ledger:
        failed = ledger.job("old")
        assert failed
        assert failed.state is JobState.COMPLETED_WITH_FAILURES
        assert ledger.unfinished() == [ledger.job("job")]


def test_a_job_of_an_old_ledger_can_be_taken_and_ended(old: str) -> None:
    with closing(Ledger.open(old)) as ledger:
        ledger.take("job", 2.0)
        done = UnitChanged(ledger.units("job")[1].unit, UnitState.SUCCEEDED, 1)
        ledger.record([done], 3.0)
        assert ledger.counts_of(["job"]) == {"job": JobCounts({UnitState.SUCCEEDED: 2})}


def assert_opens_at_head(url: str) -> None:
    with closing(Ledger.open(url)) as ledger:
        assert ledger.units("job")[0].unit == UNIT
    assert query(url, "SELECT schema FROM about") == [(2,)]
    assert query(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]


def test_a_ledger_from_before_revisions_is_adopted_and_migrated(old: str) -> None:
    execute(old, "DROP TABLE alembic_version")
    for _ in range(2):
        assert_opens_at_head(old)


def test_a_ledger_of_schema_1_is_upgraded(old: str) -> None:
    columns = ("work", "is_tolerant", "is_working")
    execute(
        old,
        "DROP TABLE alembic_version",
        *(f"ALTER TABLE units DROP COLUMN {column}" for column in columns),
        "UPDATE about SET schema = 1",
    )
    for _ in range(2):
        assert_opens_at_head(old)


@pytest.mark.parametrize("spec_text", ["{}", "not JSON"])
def test_a_migration_that_fails_says_so_in_one_line_and_changes_nothing(
    old: str, spec_text: str
) -> None:
    with database(old) as connection:
        connection.execute(text("UPDATE jobs SET spec = :spec"), {"spec": spec_text})
    before = dump(old)
    message = refusal(old)
    assert "it could not be brought up to date: " in message
    assert "it is unchanged; set FARM_LEDGER to another " in message
    assert "\n" not in message
    assert dump(old) == before


@pytest.mark.parametrize(
    ("table", "statements"),
    [
        ("about", ["DROP TABLE alembic_version", "DELETE FROM about"]),
        ("alembic_version", ["DELETE FROM alembic_version"]),
    ],
)
def test_a_ledger_of_no_version_is_refused(old: str, table: str, statements: list[str]) -> None:
    execute(old, *statements)
    message = refusal(old)
    assert f"its table {table} is empty, so its version is unknown; it may be damaged" in message
    assert "None" not in message


@pytest.mark.parametrize(
    ("version", "statements"),
    [
        ("schema 99", ["DROP TABLE alembic_version", "UPDATE about SET schema = 99"]),
        ("revision 9999", ["UPDATE alembic_version SET version_num = '9999'"]),
    ],
)
def test_a_ledger_of_an_unknown_version_is_refused_and_left_unchanged(
    known: str, version: str, statements: list[str]
) -> None:
    execute(known, *statements)
    before = dump(known)
    message = refusal(known)
    assert message.startswith(f"cannot open the ledger {known}: it was written by a newer version")
    assert f"({version}; this one uses {HEAD}); set FARM_LEDGER to another " in message
    assert dump(known) == before


def test_a_database_that_another_program_migrates_is_refused(ledger_url: str) -> None:
    execute(ledger_url, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    assert "the database is not a ledger; it contains alembic_version;" in refusal(ledger_url)


def open_and_list(url: str) -> list[str]:
    with closing(Ledger.open(url)) as ledger:
        return [job.id for job in ledger.jobs()]


def test_farms_that_open_an_empty_database_at_the_same_moment_create_one_ledger(
    ledger_url: str,
) -> None:
    assert at_once(*[partial(open_and_list, ledger_url)] * 4) == [[]] * 4


def test_farms_that_open_an_old_ledger_at_the_same_moment_migrate_it_once(old: str) -> None:
    assert at_once(*[partial(open_and_list, old)] * 4) == [["job", "old"]] * 4


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


# An SQLite that is too old


def pretend(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """Let Python say that it has this version of SQLite."""
    monkeypatch.setattr(sqlite3, "sqlite_version", version)
    monkeypatch.setattr(sqlite3, "sqlite_version_info", tuple(map(int, version.split("."))))


def test_an_sqlite_that_is_too_old_is_refused_with_what_to_do(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "3.30.1")
    assert refusal(sqlite_url) == (
        "a ledger in a file needs SQLite 3.31 or newer, and this Python has 3.30.1; use a Python with a "
        "newer one, or let FARM_LEDGER name a database of PostgreSQL"
    )


def test_an_old_ledger_on_an_sqlite_that_cannot_migrate_it_is_refused_and_left_unchanged(
    old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "3.34.1")
    if old.startswith("postgresql"):
        assert_opens_at_head(old)
        return
    before = dump(old)
    says = "that needs SQLite 3.35 or newer, and this Python has 3.34.1; it is unchanged;"
    assert says in refusal(old)
    assert dump(old) == before


def test_a_new_ledger_needs_no_sqlite_that_can_migrate_old_ones(
    sqlite_url: str, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, "3.31.1")
    with closing(Ledger.open(sqlite_url)) as ledger:
        ledger.add(Job("job", spec, 1.0), [RestoredUnit(UNIT, UnitState.READY)])
    assert_opens_at_head(sqlite_url)


# The schema


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


@pytest.fixture(params=["sqlite", "postgres"])
def two_urls(request: pytest.FixtureRequest, sqlite_url: str) -> tuple[str, str]:
    """The addresses of two empty databases of one kind."""
    if request.param == "sqlite":
        return sqlite_url, f"{sqlite_url}2"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_database(), server.new_database()


def test_the_migrations_create_the_same_database_as_the_tables(two_urls: tuple[str, str]) -> None:
    with database(two_urls[0]) as migrated, database(two_urls[1]) as created:
        run_migrations(migrated)
        migrate(created)
        assert schema(migrated) == schema(created)
        assert compare_metadata(MigrationContext.configure(migrated), metadata) == []
    assert dump(two_urls[0]) == dump(two_urls[1])


def test_the_head_constant_is_the_newest_revision() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())
    assert scripts.get_heads() == [HEAD]
    assert scripts.get_bases() == [BASELINE]
