"""The ledger: jobs, their units and what happened to them.

SQLite by default (write-ahead log, every commit is on disk before it counts), or PostgreSQL by URL.
Readers do not wait for writers. Every change is written before it is acted on, and only by the farm
that owns the job.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, Literal, Self

from sqlalchemy import Connection, Engine, Select, func, select
from sqlalchemy.exc import SQLAlchemyError

from farm.errors import FarmBug, LedgerHeld, LedgerUnavailable
from farm.ledger import cost_book, earlier, forgetting, holding, pages
from farm.ledger import service as services
from farm.ledger.cost_book import CostBook
from farm.ledger.held_job import HeldJob, from_json
from farm.ledger.job_ids import whole_id
from farm.ledger.opening import address_of, check_exists, open_engine, reading, size_of
from farm.ledger.pages import PAGE
from farm.ledger.reading import JOBS, counts_from, job_from
from farm.ledger.row_counts import rows_of
from farm.ledger.service import Service
from farm.ledger.tables import jobs, specs, story
from farm.ledger.trouble import failure, passing_trouble
from farm.ledger.writing import Batch, insert_job, plan_job, update_jobs, update_units
from farm.model.costs import Cost, CostKind
from farm.model.events import JobChanged, UnitEvent
from farm.model.history import RestoredUnit, StoryLine, UnitFailure, UnitRecord
from farm.model.job import RESUMED, UNFINISHED, Job, JobState
from farm.model.job_counts import JobCounts
from farm.model.unit import UnitState
from farm.process import FarmProcess, this_process

Access = Literal["read", "write"]


@dataclass(frozen=True)
class Transaction:
    """A transaction that has ended. has_failed: because of the database."""

    access: Access
    seconds: float
    has_failed: bool


class Ledger:
    """Jobs, their units and what happened to them, as one farm sees them. Create one with open.

    Methods raise LedgerUnavailable if the database is locked, full or does not answer at present;
    called again, they do nothing twice, even if the database had done the work and only its answer
    was lost. For any other trouble with it they raise UserError. process: the farm, which owns the
    jobs that it adds or takes.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self.address = engine, address_of(engine)
        self._held: dict[str, HeldJob] = {}
        self._costs = CostBook()
        self._observe: Callable[[Transaction], None] | None = None
        self.process: FarmProcess = this_process()

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the ledger at a database URL, creating it if necessary.

        Raises UserError if it cannot be opened, is not a ledger, or was written by a newer farm.
        """
        return cls(open_engine(url))

    def watch(self, observe: Callable[[Transaction], None]) -> None:
        """Tell this function of every transaction, in the thread that made it."""
        self._observe = observe

    @classmethod
    def open_existing(cls, url: str) -> Self:
        """Open the ledger at a database URL. Raises UserError also if there is none."""
        check_exists(url)
        return cls.open(url)

    def size(self) -> int:
        """Return how many bytes the database takes."""
        with self._read() as connection:
            return size_of(connection)

    def rows(self) -> dict[str, int]:
        """Return the number of rows of each table that grows with the jobs. Takes time if there are many."""
        with self._read() as connection:
            return rows_of(connection)

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
        """Own a job of a farm that is dead. now: Unix seconds.

        Raises JobHeld if its farm lives, and JobEnded if the job has ended.
        """
        with self._write() as connection:
            held = holding.take(connection, self.process, job, now)
        self._held[job] = held

    def reopen(self, job: str, now: float) -> None:
        """Own a job that has ended, so that it can change again. now: Unix seconds.

        Raises JobHeld if another farm is working on it by now, and Conflict if it is being forgotten.
        """
        with self._write() as connection:
            held = holding.reopen(connection, self.process, job, now)
        self._held[job] = held

    def hold(self, now: float) -> None:
        """Have the ledger as its only service, or make sure that this farm still has it.

        Other farms can still run jobs of their own. It ends when this farm ends in good order or is
        dead. now: Unix seconds. Raises LedgerHeld if another living service has the ledger.
        """
        with self._write() as connection:
            service = services.hold(connection, self.process, now)
        if service.process.id != self.process.id:
            since = datetime.fromtimestamp(service.since, UTC).astimezone()
            text = f"{since:%Y-%m-%d %H:%M:%S}"
            raise LedgerHeld(self.address, str(service.process), text)

    def holder(self, now: float) -> Service | None:
        """Return the living service that has the ledger to itself. now: Unix seconds."""
        with self._read() as connection:
            return services.holder(connection, now)

    # Writing

    def add(
        self, job: Job, units: Sequence[RestoredUnit] = (), *, is_resumed: bool = False
    ) -> None:
        """Store a new job of this farm and all its units in one transaction.

        units: none if it is yet to be planned. is_resumed: it is to take over what earlier jobs with its
        key have finished. Raises JobHeld if another farm has stored a job of this name.
        """
        with self._write() as connection:
            held = self._insert(connection, job, units, job.created, is_resumed=is_resumed)
        self._held[job.id] = held

    def resumes(self, job: str) -> bool:
        """Return whether a job takes over what earlier jobs with its key have finished."""
        with self._read() as connection:
            return bool(connection.scalar(select(jobs.c.is_resumed).where(jobs.c.id == job)))

    def plan(
        self, job: Job, units: Sequence[RestoredUnit], now: float, replaces: Job | None = None
    ) -> None:
        """Store what has been planned of a job, in its new state.

        replaces: an earlier job that it resumes, as in replace. now: Unix seconds. Raises JobTakenOver
        if another farm owns the job by now, and JobHeld if one is working on the earlier job.
        """
        held = self._of(job.id)
        with self._write() as connection:
            row = holding.own_row(connection, self.process, job.id, held.epoch)
            planned = HeldJob.of_planned(held.epoch, row.writes, units)
            if row.state == JobState.PLANNING:
                if replaces:
                    self._cancel(connection, replaces, job, now)
                plan_job(connection, job, units, **planned.columns())
        self._held[job.id] = planned
        if replaces:
            self._held.pop(replaces.id, None)

    def withdraw(self, job: str) -> None:
        """Remove a job of this farm that was not planned, and leave no trace of it."""
        held = self._of(job)
        with self._write() as connection:
            forgetting.remove_unplanned(connection, job, self.process.id, held.epoch)
        del self._held[job]

    def replace(self, before: Job, job: Job, units: Sequence[RestoredUnit], now: float) -> None:
        """Store a new job that resumes an earlier one, and cancel the earlier one if it has not ended.

        units: each with what is known of it. now: Unix seconds. Raises JobHeld if another farm is
        working on the earlier job, or has stored a job of the new one's name.
        """
        with self._write() as connection:
            self._cancel(connection, before, job, now)
            held = self._insert(connection, job, units, now, is_resumed=True)
        self._held.pop(before.id, None)
        self._held[job.id] = held

    def _cancel(self, connection: Connection, before: Job, job: Job, now: float) -> None:
        if not before.state.is_final:
            reason = f"{RESUMED} {job.id}"
            holding.cancel(connection, self.process, before.id, now, reason)

    def record(self, changes: Iterable[UnitEvent | JobChanged], now: float) -> None:
        """Store changes of this farm's jobs and their history in one transaction.

        now: Unix seconds. Raises JobTakenOver, and stores nothing, if another farm owns one of the
        jobs by now. After LedgerUnavailable, the next call must begin with the same changes.
        """
        batch = Batch.of(changes)
        held = {job: self._of(job) for job in batch.by_job}
        with self._write() as connection:
            for job in held:
                batch = batch.without(job, self._stored(connection, job))
            for job, own in batch.by_job.items():
                held[job].tried = own
            holding.fence(connection, self.process, batch.by_job, held)
            update_units(connection, batch.units, held, now)
            update_jobs(connection, batch.jobs, now)
            self._costs.add(connection, batch.units, now)
        for job, own in batch.by_job.items():
            held[job].apply(own)
        ended = [changed.id for changed in batch.jobs if changed.state.is_final]
        for job in ended:
            self._held.pop(job, None)
        self._costs.forget(ended)

    def _stored(self, connection: Connection, job: str) -> Sequence[UnitEvent]:
        """Return the changes of a job that are stored, though record raised LedgerUnavailable."""
        held = self._of(job)
        if held.tried is not None:
            held.settle(holding.writes(connection, self.process, job, held))
        return held.stored

    def _of(self, job: str) -> HeldJob:
        if job not in self._held:
            raise FarmBug(f"job {job} is recorded by a farm that does not own it")
        return self._held[job]

    def _insert(
        self,
        connection: Connection,
        job: Job,
        units: Sequence[RestoredUnit],
        now: float,
        *,
        is_resumed: bool,
    ) -> HeldJob:
        held = HeldJob.of_planned(1, 0, units)
        holding.enter(connection, self.process, now)
        owned = {"owner": self.process.id, "epoch": held.epoch, **held.columns()}
        if not insert_job(connection, job, units, is_resumed=is_resumed, **owned):
            holding.check_own(connection, self.process, job.id)
        return held

    def forget(self, before: float, keep: int = 0) -> int:
        """Remove jobs that ended before a time, with all that is known of them; return how many.

        Their files are left alone. A job that is not completed stays as long as it can be resumed:
        until a later job with its key takes its place. before: Unix seconds. keep: how many ended
        jobs stay at least.
        """
        with self._read() as connection:
            old = forgetting.old_jobs(connection, before, keep)
        for job in old:
            self.forget_job(job)
        with self._write() as connection:
            forgetting.remove_farms(connection, before)
            cost_book.prune(connection)
        return len(old)

    def forget_job(self, job: str) -> None:
        """Remove a job with all that is known of it, if it has ended. Its files are left alone."""
        is_more = True
        while is_more:
            with self._write() as connection:
                is_more = forgetting.remove_some(connection, job)

    # Reading

    def jobs(
        self,
        after: Job | None = None,
        limit: int = PAGE,
        state: JobState | None = None,
        task: str | None = None,
    ) -> list[Job]:
        """Return a page of jobs, newest first: those created before another one, of this state and task."""
        return self._jobs(pages.jobs_page(after, limit, state, task))

    def tended_jobs(
        self, now: float, limit: int, state: JobState, task: str | None = None
    ) -> list[Job]:
        """Return the newest jobs of a state without those that have not ended though their farm is dead."""
        page = pages.jobs_page(None, limit, state, task)
        return self._jobs(page.where(~pages.is_abandoned(self._living(now))))

    def abandoned_jobs(self, now: float, limit: int, task: str | None = None) -> list[Job]:
        """Return the newest jobs that have not ended though their farm is dead. now: Unix seconds."""
        page = pages.jobs_page(None, limit, None, task)
        return self._jobs(page.where(pages.is_abandoned(self._living(now))))

    def job_totals(self) -> Counter[JobState]:
        """Return the number of jobs in each state."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with self._read() as connection:
            return Counter({JobState(state): count for state, count in connection.execute(query)})

    def abandoned_totals(self, now: float) -> Counter[JobState]:
        """Return how many of the jobs in each state have not ended though their farm is dead."""
        is_abandoned = pages.is_abandoned(self._living(now))
        query = select(jobs.c.state, func.count()).where(is_abandoned).group_by(jobs.c.state)
        with self._read() as connection:
            return Counter({JobState(state): count for state, count in connection.execute(query)})

    def _living(self, now: float) -> set[str]:
        with self._read() as connection:
            return holding.living(connection, now)

    def unfinished(self, text: str = "") -> list[Job]:
        """Return every job that has not ended, oldest first. text: only those with it in their spec."""
        query = JOBS.where(jobs.c.state.in_(UNFINISHED)).order_by(jobs.c.created)
        if text:
            query = query.where(specs.c.spec.contains(text, autoescape=True))
        return self._jobs(query)

    def job(self, job: str) -> Job | None:
        """Return the job with this id."""
        return self._first_job(JOBS.where(jobs.c.id == job))

    def job_like(self, start: str) -> Job:
        """Return the job with this id, or the only one whose id begins so. Raises NotFound."""
        with self._read() as connection:
            known = jobs.c.id == whole_id(connection, start)
            return job_from(connection.execute(JOBS.where(known)).one())

    def find(self, key: str) -> Job | None:
        """Return the latest job with this JobSpec.key."""
        query = JOBS.where(jobs.c.key == key)
        return self._first_job(query.order_by(jobs.c.created.desc()))

    def latest(self, task: str, output: str) -> Job | None:
        """Return the latest job with this task and output."""
        query = JOBS.where(jobs.c.task == task, jobs.c.output == output)
        return self._first_job(query.order_by(jobs.c.created.desc()))

    def counts(self, job: str) -> Counter[UnitState]:
        """Return the number of a job's units in each state."""
        with self._read() as connection:
            return from_json(connection.scalar(select(jobs.c.counts).where(jobs.c.id == job)))

    def counts_of(self, names: Collection[str]) -> dict[str, JobCounts]:
        """Return the number of units in each state, and that of frames, for each of these jobs."""
        columns = jobs.c.id, jobs.c.counts, jobs.c.steps, jobs.c.frames
        query = select(*columns).where(jobs.c.id.in_(list(names)))
        with self._read() as connection:
            return {row.id: counts_from(row) for row in connection.execute(query)}

    def abandoned(self, names: Collection[str], now: float) -> set[str]:
        """Return those of these jobs that have not ended though their farm is dead. now: Unix seconds."""
        with self._read() as connection:
            return holding.abandoned(connection, names, now)

    def units(self, job: str) -> list[UnitRecord]:
        """Return all of a job's units in their order, as whoever goes on with the job needs them."""
        with self._read() as connection:
            return pages.all_units(connection, job)

    def units_page(
        self, job: str, after: int = -1, limit: int = PAGE, state: UnitState | None = None
    ) -> list[UnitRecord]:
        """Return a page of a job's units in their order: those in this state with a higher number."""
        with self._read() as connection:
            return pages.units_page(connection, job, after, limit, state)

    def unit_at(self, job: str, target: str) -> UnitRecord | None:
        """Return the unit of a job that writes this file."""
        with self._read() as connection:
            return pages.unit_at(connection, job, target)

    def failures(self, job: str, limit: int = PAGE) -> list[UnitFailure]:
        """Return the last failures of a job's units, newest first."""
        with self._read() as connection:
            return pages.last_failures(connection, job, limit)

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

    def cost(self, kind: CostKind, device: str = "") -> Cost | None:
        """Return what frames of a kind have cost on a device, or else others of its task and network.

        device: the latest one if it is empty. None if this ledger knows of none.
        """
        with self._read() as connection:
            return cost_book.cost(connection, kind, device)

    def bytes_per_pixel(self, task: str, form: str) -> float | None:
        """Return how many bytes a pixel of a task's results has taken in a format of model.costs."""
        with self._read() as connection:
            return cost_book.bytes_per_pixel(connection, task, form)

    def story(self, job: str, after: int = 0, limit: int = 10 * PAGE) -> list[StoryLine]:
        """Return a page of what happened to a job's units: the changes with a higher number, in order."""
        with self._read() as connection:
            return pages.story_page(connection, job, after, limit)

    def unit_story(self, job: str, unit: str, limit: int = 10 * PAGE) -> list[StoryLine]:
        """Return the last changes of a unit's state, in order."""
        with self._read() as connection:
            return pages.unit_story(connection, job, unit, limit)

    def events(self, after: int, limit: int = 10 * PAGE) -> list[tuple[str, StoryLine]]:
        """Return a page of what happened to the units of all jobs, in order, each with its job."""
        with self._read() as connection:
            return pages.events_page(connection, after, limit)

    def last_event(self) -> int:
        """Return the number of the last change of any unit's state; 0 if there is none."""
        with self._read() as connection:
            return int(connection.scalar(select(func.max(story.c.id))) or 0)

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
        with self._explained("write"), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._explained("read"), reading(self._engine) as connection:
            yield connection

    @contextmanager
    def _explained(self, access: Access) -> Iterator[None]:
        """Observe a transaction, and turn errors of the database into errors of the farm."""
        began, has_failed = perf_counter(), False
        try:
            yield
        except SQLAlchemyError as error:
            has_failed = True
            if trouble := passing_trouble(error):
                raise LedgerUnavailable(self.address, trouble) from error
            raise failure(self.address, error) from error
        finally:
            if self._observe:
                self._observe(Transaction(access, perf_counter() - began, has_failed))
