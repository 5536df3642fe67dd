"""What is known of every job and unit, kept so that no crash loses it.

SQLite by default (write-ahead log, every commit on the disk before it counts), or any other
database by URL. One writer at a time; a unit's row is written before it is acted on.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from farm.errors import UserError
from farm.model.events import JobChanged, UnitChanged
from farm.model.history import RestoredUnit, UnitRecord
from farm.model.job import Job, JobSpec, JobState, Wanted
from farm.model.messages import Failure, Figures, Reason
from farm.model.unit import HELD, Unit, UnitState
from farm.model.work import WORK

SCHEMA = 2

_metadata = MetaData()
_about = Table("about", _metadata, Column("schema", Integer, primary_key=True))
_jobs = Table(
    "jobs",
    _metadata,
    Column("id", String(64), primary_key=True),
    Column("key", String(64), nullable=False, index=True),
    Column("spec", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("wanted", String(16), nullable=False),
    Column("reason", Text, nullable=False),
)
_units = Table(
    "units",
    _metadata,
    Column("job", ForeignKey("jobs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("name", Text, nullable=False, index=True),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("needs", Text, nullable=False),
    Column("work", Text, nullable=False),
    Column("is_tolerant", Boolean, nullable=False),
    Column("is_working", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("figures", Text),
)
_story = Table(
    "story",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("job", String(64), nullable=False, index=True),
    Column("unit", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String(16), nullable=False),
)
_failures = Table(
    "failures",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("job", String(64), nullable=False, index=True),
    Column("unit", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("reason", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("traceback", Text, nullable=False),
)


class Ledger:
    """Jobs, units and their story. Use open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the ledger at a database URL, made where there is none.

        Raises UserError when it cannot be opened, is no ledger, or is of another version.
        """
        try:
            engine = _engine(url)
            with engine.begin() as connection:
                fault = _fault(connection)
                if not fault:
                    _metadata.create_all(connection)
        except ValueError:
            raise UserError(_refusal(url, "that is no database URL")) from None
        except (SQLAlchemyError, OSError, ImportError) as error:
            fault = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise UserError(_refusal(url, fault)) from error
        if fault:
            engine.dispose()
            raise UserError(_refusal(url, fault))
        return cls(engine)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def add(self, job: Job, units: Sequence[RestoredUnit]) -> None:
        """Store a new job with its units, all or nothing."""
        rows = [
            {
                **_unit_row(entering.unit),
                "number": number,
                "state": entering.state,
                "attempts": entering.attempt,
                "reason": "",
            }
            for number, entering in enumerate(units)
        ]
        with self._begin() as connection:
            connection.execute(insert(_jobs).values(key=job.spec.key, **_job_row(job)))
            connection.execute(insert(_units), rows)

    def record(self, changes: Iterable[UnitChanged | JobChanged], now: float) -> None:
        """Store changes in one transaction, and what led to them."""
        with self._begin() as connection:
            for change in changes:
                if isinstance(change, JobChanged):
                    where = _jobs.c.id == change.job.id
                    connection.execute(update(_jobs).where(where).values(_job_row(change.job)))
                else:
                    _record_unit(connection, change, now)

    def jobs(self) -> list[Job]:
        """Return every job, oldest first."""
        with self._begin() as connection:
            return [
                _job(row) for row in connection.execute(select(_jobs).order_by(_jobs.c.created))
            ]

    def job(self, job: str) -> Job | None:
        """Return a job by its id."""
        with self._begin() as connection:
            row = connection.execute(select(_jobs).where(_jobs.c.id == job)).first()
        return _job(row) if row else None

    def find(self, key: str) -> Job | None:
        """Return the latest job that asked for the same: see JobSpec.key."""
        query = select(_jobs).where(_jobs.c.key == key).order_by(_jobs.c.created.desc())
        with self._begin() as connection:
            row = connection.execute(query).first()
        return _job(row) if row else None

    def units(self, job: str) -> list[UnitRecord]:
        """Return a job's units in their order."""
        units = select(_units).where(_units.c.job == job).order_by(_units.c.number)
        failures = select(_failures).where(_failures.c.job == job).order_by(_failures.c.id)
        failed: defaultdict[str, list[Failure]] = defaultdict(list)
        with self._begin() as connection:
            for row in connection.execute(failures):
                failed[row.unit].append(
                    Failure(Reason(row.reason), row.message, traceback=row.traceback)
                )
            records = [_unit_record(row) for row in connection.execute(units)]
        return [replace(r, failures=tuple(failed[r.unit.name])) for r in records]

    def finished(self, key: str) -> dict[str, UnitRecord]:
        """Return, by target, the latest success of all jobs that asked for the same."""
        return {r.unit.target: r for r in self._of_key(key) if r.figures}

    def crashes(self, key: str) -> Counter[str]:
        """Return, by target, how often in a row a farm ended with the unit in its hands.

        Counts jobs that asked for the same, since the unit last came to an end.
        """
        counts: Counter[str] = Counter()
        for record in self._of_key(key):
            if record.state in HELD:
                counts[record.unit.target] += 1
            elif record.state.is_final:
                del counts[record.unit.target]
        return counts

    def _of_key(self, key: str) -> list[UnitRecord]:
        query = select(_units).join(_jobs).where(_jobs.c.key == key).order_by(_jobs.c.created)
        with self._begin() as connection:
            return [_unit_record(row) for row in connection.execute(query)]

    def story(self, job: str) -> list[str]:
        """Return what happened to a job's units, a line each."""
        query = select(_story).where(_story.c.job == job).order_by(_story.c.id)
        with self._begin() as connection:
            rows = list(connection.execute(query))
        return [
            f"{r.at:.3f} {r.unit} {r.state} attempt {r.attempt} {r.worker} {r.reason}".rstrip()
            for r in rows
        ]

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = str(getattr(error, "orig", error)).splitlines()[0]
            raise UserError(f"the ledger failed: {reason}; is its disk full?") from error


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    engine = create_engine(parsed)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_at_once)
    return engine


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_at_once(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _fault(connection: Connection) -> str:
    """Say why these tables cannot be used; empty where they can, or where there are none."""
    tables = inspect(connection).get_table_names()
    if not tables:
        _metadata.create_all(connection)
        connection.execute(insert(_about).values(schema=SCHEMA))
    elif _about.name not in tables:
        return f"it holds {', '.join(tables[:3])} and is no ledger"
    found = connection.scalar(select(func.max(_about.c.schema)))
    if found == 1:
        found = _upgrade(connection)
    return "" if found == SCHEMA else f"it is of version {found}, this farm writes {SCHEMA}"


def _upgrade(connection: Connection) -> int:
    """Give the units of version 1, which knew no films, what those of version 2 have."""
    for column in (
        """work TEXT NOT NULL DEFAULT '{"kind": "render"}'""",
        "is_tolerant BOOLEAN NOT NULL DEFAULT FALSE",
        "is_working BOOLEAN NOT NULL DEFAULT FALSE",
    ):
        connection.exec_driver_sql(f"ALTER TABLE units ADD COLUMN {column}")
    connection.execute(update(_about).values(schema=2))
    return 2


def _refusal(url: str, fault: str) -> str:
    try:
        shown = make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):
        shown = "at FARM_LEDGER"
    return f"cannot open the ledger {shown}: {fault}; set FARM_LEDGER to another file"


def _record_unit(connection: Connection, change: UnitChanged, now: float) -> None:
    values: dict[str, object] = {
        "state": change.state,
        "attempts": change.attempt,
        "reason": change.reason,
    }
    if change.figures:
        values["figures"] = json.dumps(asdict(change.figures))
    where = (_units.c.job == change.unit.job, _units.c.name == change.unit.name)
    connection.execute(update(_units).where(*where).values(values))
    connection.execute(
        insert(_story).values(
            at=now,
            job=change.unit.job,
            unit=change.unit.name,
            state=change.state,
            attempt=change.attempt,
            worker=change.worker,
            reason=change.reason,
            by=change.by,
        )
    )
    if change.failure:
        _record_failure(connection, change.unit, change.attempt, change.failure)


def _record_failure(connection: Connection, unit: Unit, attempt: int, failure: Failure) -> None:
    connection.execute(
        insert(_failures).values(
            job=unit.job,
            unit=unit.name,
            attempt=attempt,
            reason=failure.reason,
            message=failure.message,
            traceback=failure.traceback,
        )
    )


def _job_row(job: Job) -> dict[str, object]:
    return {
        "id": job.id,
        "spec": job.spec.model_dump_json(),
        "created": job.created,
        "state": job.state,
        "wanted": job.wanted,
        "reason": job.reason,
    }


def _job(row: Any) -> Job:
    return Job(
        row.id,
        JobSpec.model_validate_json(row.spec),
        row.created,
        JobState(row.state),
        Wanted(row.wanted),
        row.reason,
    )


def _unit_row(unit: Unit) -> dict[str, object]:
    return {
        "job": unit.job,
        "name": unit.name,
        "source": unit.source,
        "target": unit.target,
        "needs": json.dumps(unit.needs),
        "work": WORK.dump_json(unit.work).decode(),
        "is_tolerant": unit.is_tolerant,
        "is_working": unit.is_working,
    }


def _unit_record(row: Any) -> UnitRecord:
    unit = Unit(
        row.job,
        row.name,
        row.source,
        row.target,
        tuple(json.loads(row.needs)),
        WORK.validate_json(row.work),
        row.is_tolerant,
        row.is_working,
    )
    figures = Figures(**json.loads(row.figures)) if row.figures else None
    return UnitRecord(unit, UnitState(row.state), row.attempts, row.reason, figures)
