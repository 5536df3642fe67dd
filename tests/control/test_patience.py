"""A ledger that is locked, full or gone pauses the farm in words; nothing is lost or done twice."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import InterfaceError, OperationalError

from farm.control.claimed_outputs import ClaimedOutputs
from farm.control.controller import ADD_SECONDS, Controller
from farm.control.patience import LONGEST_PAUSE
from farm.errors import LedgerUnavailable, UserError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.ledger.trouble import passing_trouble
from farm.model.events import News, Notice
from farm.model.job import JobSpec, JobState
from farm.model.unit import Unit, UnitState
from farm.process import BEAT_SECONDS, this_process

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fakes import FakeExecutor  # noqa: TID252 - shared with the contract suite
from ..workbench import Farm, Log  # noqa: TID252 - shared between rooms

S = UnitState


@pytest.fixture
def file(ledger_url: str) -> Path:
    return Path(ledger_url.removeprefix("sqlite:///"))


def hurry(connection: sqlite3.Connection, *_: object) -> None:
    connection.execute("PRAGMA busy_timeout=0")
    connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A ledger that gives up at once when it is locked, and does not wait for the disk."""
    ledger = Ledger.open(ledger_url)
    event.listen(ledger._engine, "checkout", hurry)
    yield ledger
    ledger.close()


@pytest.fixture
def farm(registry: Registry, ledger: Ledger) -> Farm:
    clock, log = FakeClock(), Log()
    executor = FakeExecutor(clock=clock)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[log])
    return Farm(controller, executor, log, clock)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Let another program write to the ledger for long."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.rollback()


def notes(events: list[News]) -> list[tuple[str, str]]:
    return [(e.url, e.note) for e in events if isinstance(e, Notice)]


def run_for(farm: Farm, seconds: float) -> None:
    until = farm.clock.time() + seconds
    farm.controller.run(lambda: farm.clock.time() >= until)


def test_a_locked_ledger_pauses_the_farm_which_says_so_twice(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    job = farm.controller.add(spec)
    farm.controller.run(lambda: S.LEASED in farm.log.states("a"))
    seen, given = list(farm.log.events), len(farm.executor.orders)
    with locked(file):
        run_for(farm, 300)
        assert farm.log.events[len(seen) :] == [
            Notice(str(file), "the ledger is locked by another program; trying again")
        ]
        assert len(farm.executor.orders) == given
    assert farm.run().state is JobState.COMPLETED
    assert notes(farm.log.events)[1:] == [(str(file), "the ledger can be written again")]
    assert [order.unit.name for order in farm.executor.orders] == ["a", "b", "c"]
    assert ledger.counts(job.id) == {S.SUCCEEDED: 3}


def test_a_job_says_that_it_waits_for_the_ledger(farm: Farm, spec: JobSpec, file: Path) -> None:
    job = farm.controller.add(spec)
    begun = farm.clock.time()
    with locked(file):
        farm.controller.run(lambda: farm.clock.time() > begun + 10)
        why = "the ledger is locked by another program; the farm tries again"
        assert farm.controller.why(job.id) == why
    farm.run()
    assert farm.controller.why(job.id) == ""


def test_workers_keep_their_units_however_long_the_ledger_is_locked(
    registry: Registry, ledger: Ledger, spec: JobSpec, file: Path
) -> None:
    clock, log, slow = FakeClock(), Log(), {"a", "b"}
    executor = FakeExecutor(lambda o: "hang" if o.unit.name in slow else "succeed", 2, clock)
    controller = Controller(registry, executor, ledger, clock=clock, observers=[log])
    farm = Farm(controller, executor, log, clock)
    controller.add(spec)
    run_for(farm, 30)
    with locked(file):
        slow.remove("b")
        run_for(farm, 600)
    run_for(farm, 60)
    slow.clear()
    assert farm.run().state is JobState.COMPLETED
    assert len(executor.orders) == 3


def test_nothing_is_known_to_anyone_before_the_ledger_knows_it(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    job = farm.controller.add(spec)
    farm.controller.run(lambda: S.LEASED in farm.log.states("a"))
    with locked(file):
        run_for(farm, 60)
        known = {record.unit.name: record.state for record in ledger.units(job.id)}
        assert known == {name: [S.READY, *farm.log.states(name)][-1] for name in "abc"}


def test_a_submission_that_cannot_be_stored_is_refused_and_leaves_nothing(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    with locked(file):
        submitted = farm.controller.submit(spec)
        farm.controller.serve(submitted.done)
    assert isinstance(submitted.exception(), LedgerUnavailable)
    assert ledger.jobs() == []
    assert not Path(spec.output).exists()
    farm.controller.add(spec)
    assert farm.run().state is JobState.COMPLETED


def test_a_planned_job_whose_outputs_are_lost_while_the_ledger_is_locked_does_not_start(
    registry: Registry, ledger: Ledger, spec: JobSpec, file: Path
) -> None:
    clock, log, may_plan = FakeClock(), Log(), Event()
    executor = FakeExecutor(clock=clock)

    def check(_spec: JobSpec) -> tuple[str, ...]:
        assert may_plan.wait(60)
        return ()

    controller = Controller(registry, executor, ledger, clock=clock, observers=[log], check=check)
    answer = controller.submit(spec)
    controller.accept(answer)
    controller.serve(answer.done)
    with locked(file):
        may_plan.set()
        controller.serve(lambda: bool(notes(log.events)))
        (claim,) = Path(spec.output).glob(".farm-*.claim")
        claim.unlink()
        another = ClaimedOutputs(this_process())
        another.take("another", [Unit("another", "a", "a.png", f"{spec.output}a.png")], 0)
        lost = clock.time() + 2 * BEAT_SECONDS
        controller.serve(lambda: clock.time() >= lost)
    job = answer.result().id
    controller.serve(lambda: controller.job(job).state.is_final)
    assert controller.job(job).state is JobState.FAILED
    assert "job another" in controller.job(job).reason
    assert executor.orders == []
    another.release_all()


def test_a_ledger_that_is_locked_once_a_job_is_planned_pauses_the_farm_until_it_is_not(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    lock = ExitStack()

    class LockedOncePlanned(Ledger):
        def plan(self, *of: Any) -> None:
            super().plan(*of)
            lock.enter_context(locked(file))

    ledger.__class__ = LockedOncePlanned
    answer = farm.controller.submit(spec)
    with lock:
        farm.controller.serve(answer.done)
        begun = farm.clock.time()
        farm.controller.serve(lambda: farm.clock.time() > begun + 10)
        why = "the ledger is locked by another program; the farm tries again"
        assert farm.controller.why(answer.result().id) == why
        assert notes(farm.log.events) == [
            (str(file), "the ledger is locked by another program; trying again")
        ]
    assert farm.run().state is JobState.COMPLETED
    assert notes(farm.log.events)[1:] == [(str(file), "the ledger can be written again")]


def test_the_pauses_grow(farm: Farm, spec: JobSpec, file: Path) -> None:
    moments: list[float] = []

    def is_stopped() -> bool:
        moments.append(farm.clock.time())
        return len(moments) > 12

    farm.controller.add(spec)
    with locked(file):
        farm.controller.run(is_stopped)
    pauses = [round(b - a, 6) for a, b in pairwise(moments[1:])]
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_a_farm_stops_in_time_though_its_ledger_is_locked(
    farm: Farm, spec: JobSpec, file: Path
) -> None:
    farm.controller.add(spec)
    farm.controller.run(lambda: S.LEASED in farm.log.states("a"))
    with locked(file):
        run_for(farm, 10)
        began = farm.clock.time()
        farm.controller.stop(seconds=10)
        farm.controller.close()
        assert farm.clock.time() - began <= 10 + LONGEST_PAUSE


def test_a_ledger_that_answers_again_before_the_farm_stops_records_what_was_done(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    job = farm.controller.add(spec)
    farm.controller.run(lambda: S.LEASED in farm.log.states("a"))
    with locked(file):
        run_for(farm, 10)
    farm.controller.stop()
    assert ledger.units(job.id)[0].state is S.SUCCEEDED


def test_a_new_job_waits_for_a_locked_ledger_and_is_then_refused(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    with locked(file):
        began = farm.clock.time()
        with pytest.raises(LedgerUnavailable) as caught:
            farm.controller.add(spec)
        assert ADD_SECONDS <= farm.clock.time() - began <= ADD_SECONDS + LONGEST_PAUSE
    assert str(caught.value) == (
        f"the ledger {file} is locked by another program; try again once this is resolved"
    )
    assert ledger.jobs() == []
    assert not Path(spec.output).exists()


def test_a_full_disk_of_the_ledger_pauses_the_farm(
    farm: Farm, spec: JobSpec, ledger: Ledger, file: Path
) -> None:
    farm.controller.add(spec)
    farm.controller.run(lambda: S.LEASED in farm.log.states("a"))
    with ledger._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    fill(ledger)
    run_for(farm, 300)
    is_full = (str(file), "the ledger cannot be written because its disk is full; trying again")
    assert notes(farm.log.events) == [is_full]
    with ledger._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert farm.run().state is JobState.COMPLETED
    assert notes(farm.log.events) == [is_full, (str(file), "the ledger can be written again")]


def fill(ledger: Ledger) -> None:
    """Use up the space that is left in the pages of the story."""
    row = "INSERT INTO story VALUES (NULL, 1.0, 'x', ?, 'ready', 1, '', '', '')"
    with suppress(OperationalError):
        while True:
            with ledger._engine.begin() as connection:
                connection.exec_driver_sql(row, ("unit" * 20,))


def test_trouble_that_does_not_pass_ends_the_run(farm: Farm, spec: JobSpec, ledger: Ledger) -> None:
    farm.controller.add(spec)
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE story")
    with pytest.raises(UserError, match=r"the ledger .* failed: no such table: story") as caught:
        farm.controller.run()
    assert not isinstance(caught.value, LedgerUnavailable)


class Dropped(Exception):
    """As a driver reports a connection that its server closed."""


@pytest.mark.parametrize("kind", [OperationalError, InterfaceError])
def test_a_dropped_connection_to_a_server_passes(kind: type[OperationalError]) -> None:
    error = kind("SELECT 1", {}, Dropped("server closed the connection\nunexpectedly"))
    error.connection_invalidated = True
    assert passing_trouble(error) == "does not answer (server closed the connection)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SQLITE_BUSY", "is locked"),
        ("SQLITE_BUSY_SNAPSHOT", "is locked"),
        ("SQLITE_IOERR_WRITE", "its disk reports an error"),
        ("SQLITE_CANTOPEN", "cannot be opened"),
        ("SQLITE_READONLY_DIRECTORY", "read-only"),
        ("SQLITE_READONLY_DBMOVED", "was moved or deleted"),
    ],
)
def test_trouble_of_a_file_that_may_pass_is_told_in_words(name: str, words: str) -> None:
    cause = sqlite3.OperationalError("it failed")
    cause.sqlite_errorname = name
    trouble = passing_trouble(OperationalError("SELECT 1", {}, cause))
    assert trouble is not None
    assert words in trouble
