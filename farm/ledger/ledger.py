"""The ledger: jobs, their units and what happened to them.

SQLite by default (write-ahead log, every commit is on disk before it counts), or any other
database by URL. There is one writer at a time, and readers do not wait for it. Every change is
written before it is acted on, and only by the farm that owns the job.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

from sqlalchemy import Connection, Engine, Select, select
from sqlalchemy.exc import SQLAlchemyError

from farm.errors import FarmBug, LedgerUnavailable, UserError
from farm.ledger import earlier, holding
from farm.ledger.holding import HeldJob, as_json
from farm.ledger.opening import address_of, open_engine, reading
from farm.ledger.reading import failure_from, job_from, story_line_from, unit_record_from
from farm.ledger.tables import failures, jobs, story, tracebacks, units
from farm.ledger.trouble import first_line, passing_trouble
from farm.ledger.writing import Batch, insert_job, update_jobs, update_units
from farm.model.events import JobChanged, UnitChanged
from farm.model.history import RestoredUnit, UnitRecord
from farm.model.job import Job, JobState
from farm.model.messages import Failure
from farm.model.unit import UnitState
from farm.process import FarmProcess, this_process


class Ledger:
    """Jobs, their units and what happened to them, as one farm sees them. Create one with open.

    Methods raise LedgerUnavailable if the database is locked, full or does not answer at present,
    and UserError for any other trouble with it. process: the farm, which owns the jobs that it
    adds or takes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._address = engine, address_of(engine)
        self._held: dict[str, HeldJob] = {}
        self.process: FarmProcess = this_process()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the ledger at a database URL, creating it if necessary.

        Raises UserError if it cannot be opened, is not a ledger, or was written by a newer farm.
        """
        return cls(open_engine(url))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    # Owning jobs

    def beat(self, now: float) -> None:
        """Record that this farm lives. now: Unix seconds."""
        with self._write() as connection:
            holding.beat(connection, self.process, now)

    def leave(self, now: float) -> None:
        """Record that this farm ends in good order. now: Unix seconds."""
        with self._write() as connection:
            holding.leave(connection, self.process, now)

    def take(self, job: str, now: float) -> None:
        """Own a job of a farm that is dead. Raises JobHeld if its farm lives. now: Unix seconds."""
        with self._write() as connection:
            held = holding.take(connection, self.process, job, now)
        self._held[job] = held

    # Writing

    def add(self, job: Job, units: Sequence[RestoredUnit]) -> None:
        """Store a new job of this farm and all its units in one transaction."""
        with self._write() as connection:
            held = self._insert(connection, job, units, is_resumed=False)
        self._held[job.id] = held

    def replace(self, before: Job, job: Job, units: Sequence[RestoredUnit], now: float) -> None:
        """Store a new job that resumes an earlier one, and cancel the earlier one if it has not ended.

        units: each with what is known of it. now: Unix seconds. Raises JobHeld if another farm is
        working on the earlier job.
        """
        with self._write() as connection:
            if not before.state.is_final:
                reason = f"resumed as {job.id}"
                holding.end(connection, self.process, before.id, now, reason)
            held = self._insert(connection, job, units, is_resumed=True)
        self._held.pop(before.id, None)
        self._held[job.id] = held

    def record(self, changes: Iterable[UnitChanged | JobChanged], now: float) -> None:
        """Store changes of this farm's jobs and their history in one transaction.

        now: Unix seconds. Raises JobTakenOver, and stores nothing, if another farm owns one of the
        jobs by now.
        """
        batch = Batch.of(changes)
        held = {job: self._of(job) for job in batch.by_job}
        with self._write() as connection:
            for job, own in batch.by_job.items():
                counts = held[job].count_after(own)
                holding.check_owner(connection, self.process, job, held[job], counts)
            update_units(connection, batch.units, held, now)
            update_jobs(connection, batch.jobs)
        for job, own in batch.by_job.items():
            held[job].apply(own)
        for changed in batch.jobs:
            if changed.state.is_final:
                self._held.pop(changed.id, None)

    def _of(self, job: str) -> HeldJob:
        if job not in self._held:
            raise FarmBug(f"job {job} is recorded by a farm that does not own it")
        return self._held[job]

    def _insert(
        self,
        connection: Connection,
        job: Job,
        units: Sequence[RestoredUnit],
        *,
        is_resumed: bool,
    ) -> HeldJob:
        held = HeldJob.of(1, ((restored.unit.name, restored.state) for restored in units))
        owned = {"owner": self.process.id, "epoch": held.epoch, "counts": as_json(held.counts)}
        insert_job(connection, job, units, is_resumed=is_resumed, **owned)
        return held

    # Reading

    def jobs(self) -> list[Job]:
        """Return every job, oldest first."""
        return self._jobs(select(jobs).order_by(jobs.c.created))

    def unfinished(self) -> list[Job]:
        """Return every job that has not ended, oldest first."""
        open_states = [state for state in JobState if not state.is_final]
        query = select(jobs).where(jobs.c.state.in_(open_states))
        return self._jobs(query.order_by(jobs.c.created))

    def job(self, job: str) -> Job | None:
        """Return the job with this id."""
        return self._first_job(select(jobs).where(jobs.c.id == job))

    def find(self, key: str) -> Job | None:
        """Return the latest job with this JobSpec.key."""
        query = select(jobs).where(jobs.c.key == key)
        return self._first_job(query.order_by(jobs.c.created.desc()))

    def latest(self, task: str, output: str) -> Job | None:
        """Return the latest job with this task and output."""
        query = select(jobs).where(jobs.c.task == task, jobs.c.output == output)
        return self._first_job(query.order_by(jobs.c.created.desc()))

    def counts(self, job: str) -> Counter[UnitState]:
        """Return the number of a job's units in each state."""
        with self._read() as connection:
            text = connection.scalar(select(jobs.c.counts).where(jobs.c.id == job))
        return Counter({UnitState(s): count for s, count in json.loads(text or "{}").items()})

    def units(self, job: str) -> list[UnitRecord]:
        """Return a job's units in their order."""
        unit_query = select(units).where(units.c.job == job).order_by(units.c.number)
        failure_query = (
            select(failures, tracebacks.c.text)
            .outerjoin(tracebacks, tracebacks.c.digest == failures.c.digest)
            .where(failures.c.job == job)
            .order_by(failures.c.id)
        )
        failed: defaultdict[str, list[Failure]] = defaultdict(list)
        with self._read() as connection:
            for row in connection.execute(failure_query):
                failed[row.unit].append(failure_from(row))
            records = [unit_record_from(row) for row in connection.execute(unit_query)]
        return [replace(r, failures=tuple(failed[r.unit.name])) for r in records]

    def finished(self, key: str, targets: Collection[str]) -> dict[str, UnitRecord]:
        """Return the latest success for each of the targets, among all jobs with this JobSpec.key."""
        with self._read() as connection:
            return earlier.finished(connection, key, targets)

    def crashes(self, key: str, targets: Collection[str]) -> Counter[str]:
        """Return for each of the targets how many farms in a row died while they held its unit.

        Counts all jobs with this JobSpec.key, since the unit last ended. A farm that ended in good
        order does not count.
        """
        with self._read() as connection:
            return earlier.crashes(connection, key, targets)

    def story(self, job: str) -> list[str]:
        """Return what happened to a job's units, one line per change."""
        query = select(story).where(story.c.job == job).order_by(story.c.id)
        with self._read() as connection:
            return [story_line_from(row) for row in connection.execute(query)]

    def _jobs(self, query: Select[Any]) -> list[Job]:
        with self._read() as connection:
            return [job_from(row) for row in connection.execute(query)]

    def _first_job(self, query: Select[Any]) -> Job | None:
        with self._read() as connection:
            row = connection.execute(query.limit(1)).first()
        return job_from(row) if row else None

    # Transactions

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._explained(), reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the database into errors of the farm."""
        try:
            yield
        except SQLAlchemyError as error:
            if trouble := passing_trouble(error):
                raise LedgerUnavailable(self._address, trouble) from error
            raise UserError(
                f"the ledger failed: {first_line(error)}; check that its disk is not full"
            ) from error
