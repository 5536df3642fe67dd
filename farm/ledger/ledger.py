"""The ledger: jobs, their units and what happened to them.

SQLite by default (write-ahead log, every commit is on disk before it counts), or any other
database by URL. There is one writer at a time. Every change is written before it is acted on.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Self

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from farm.errors import UserError
from farm.ledger.opening import first_line, open_engine
from farm.ledger.reading import failure_from, job_from, story_line_from, unit_record_from
from farm.ledger.tables import failures, jobs, story, units
from farm.ledger.writing import insert_job, update_job, update_unit
from farm.model.events import JobChanged, UnitChanged
from farm.model.history import RestoredUnit, UnitRecord
from farm.model.job import Job
from farm.model.messages import Failure
from farm.model.unit import HELD


class Ledger:
    """Jobs, their units and what happened to them. Create one with open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the ledger at a database URL, creating it if necessary.

        Raises UserError if it cannot be opened, is not a ledger, or was written by a newer farm.
        """
        return cls(open_engine(url))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def add(self, job: Job, units: Sequence[RestoredUnit]) -> None:
        """Store a new job and all its units in one transaction."""
        with self._begin() as connection:
            insert_job(connection, job, units)

    def record(self, changes: Iterable[UnitChanged | JobChanged], now: float) -> None:
        """Store changes and their history in one transaction. now: Unix seconds."""
        with self._begin() as connection:
            for change in changes:
                if isinstance(change, JobChanged):
                    update_job(connection, change.job)
                else:
                    update_unit(connection, change, now)

    def jobs(self) -> list[Job]:
        """Return every job, oldest first."""
        with self._begin() as connection:
            return [
                job_from(row) for row in connection.execute(select(jobs).order_by(jobs.c.created))
            ]

    def job(self, job: str) -> Job | None:
        """Return the job with this id."""
        with self._begin() as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job)).first()
        return job_from(row) if row else None

    def find(self, key: str) -> Job | None:
        """Return the latest job with this JobSpec.key."""
        query = select(jobs).where(jobs.c.key == key).order_by(jobs.c.created.desc())
        with self._begin() as connection:
            row = connection.execute(query).first()
        return job_from(row) if row else None

    def units(self, job: str) -> list[UnitRecord]:
        """Return a job's units in their order."""
        unit_query = select(units).where(units.c.job == job).order_by(units.c.number)
        failure_query = select(failures).where(failures.c.job == job).order_by(failures.c.id)
        failed: defaultdict[str, list[Failure]] = defaultdict(list)
        with self._begin() as connection:
            for row in connection.execute(failure_query):
                failed[row.unit].append(failure_from(row))
            records = [unit_record_from(row) for row in connection.execute(unit_query)]
        return [replace(r, failures=tuple(failed[r.unit.name])) for r in records]

    def finished(self, key: str) -> dict[str, UnitRecord]:
        """Return the latest success for each target, among all jobs with this JobSpec.key."""
        return {r.unit.target: r for r in self._units_of_key(key) if r.figures}

    def crashes(self, key: str) -> Counter[str]:
        """Return for each target how many farms in a row crashed while they held its unit.

        Counts all jobs with this JobSpec.key, since the unit last ended.
        """
        counts: Counter[str] = Counter()
        for record in self._units_of_key(key):
            if record.state in HELD:
                counts[record.unit.target] += 1
            elif record.state.is_final:
                del counts[record.unit.target]
        return counts

    def story(self, job: str) -> list[str]:
        """Return what happened to a job's units, one line per change."""
        query = select(story).where(story.c.job == job).order_by(story.c.id)
        with self._begin() as connection:
            return [story_line_from(row) for row in connection.execute(query)]

    def _units_of_key(self, key: str) -> list[UnitRecord]:
        query = select(units).join(jobs).where(jobs.c.key == key).order_by(jobs.c.created)
        with self._begin() as connection:
            return [unit_record_from(row) for row in connection.execute(query)]

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            reason = first_line(error)
            raise UserError(
                f"the ledger failed: {reason}; check that its disk is not full"
            ) from error
