"""Two farms on one ledger at the same moment: one of them acts, the other learns of it, nothing is lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from threading import Thread

import pytest
from sqlalchemy import text

from farm.errors import JobEnded, JobHeld, JobTakenOver, LedgerHeld
from farm.ledger import Ledger
from farm.model.events import JobChanged, UnitChanged
from farm.model.job import JobState
from farm.model.messages import Failure, Reason

from .farms import (
    LATER,
    NOW,
    SPEC,
    S,
    assert_counts_are_right,
    at_once,
    done,
    job,
    ready,
    running,
    unit,
)

TIMES = 10


@pytest.fixture
def dead(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A farm that has been silent for a minute, and still believes that it owns its jobs."""
    ledger = open_ledger()
    ledger.beat(NOW)
    for number in range(TIMES):
        ledger.add(job(f"job{number}"), ready("a", "b", job=f"job{number}"))
    ledger.record([running("a", f"job{number}") for number in range(TIMES)], NOW)
    return ledger


@pytest.fixture
def farms(open_ledger: Callable[[], Ledger]) -> list[Ledger]:
    """Two farms that live."""
    ledgers = [open_ledger(), open_ledger()]
    for ledger in ledgers:
        ledger.beat(LATER)
    return ledgers


def test_one_of_two_farms_takes_a_job_and_the_other_is_refused(
    dead: Ledger, farms: list[Ledger]
) -> None:
    for number in range(TIMES):
        name = f"job{number}"
        results = at_once(*(partial(farm.take, name, LATER) for farm in farms))
        assert sorted(type(result) for result in results if result) == [JobHeld]
        (winner,) = (farm for farm, result in zip(farms, results, strict=True) if not result)
        winner.record([done("a", name)], LATER)
        assert winner.units(name)[0].crashes == 1
    assert_counts_are_right(dead)


@contextmanager
def row_locked(ledger: Ledger, name: str, waiting: int) -> Iterator[None]:
    """Lock a job's row, and let go of it when this many transactions wait for it."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ledger._engine.connect() as watching, ledger._engine.begin() as connection:
        connection.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": name})
        yield
        while watching.scalar(text(query)) < waiting:
            watching.rollback()


@pytest.mark.parametrize("ledger_url", ["postgres"], indirect=True)
def test_a_farm_that_waited_for_a_job_sees_that_it_was_taken(
    dead: Ledger, farms: list[Ledger]
) -> None:
    results: list[object] = []
    calls = [partial(farm.take, "job0", LATER) for farm in farms]
    threads = Thread(target=lambda: results.extend(at_once(*calls)))
    with row_locked(dead, "job0", waiting=2):
        threads.start()
    threads.join()
    assert [type(result) for result in results if result] == [JobHeld]


def test_a_job_is_either_replaced_or_taken(dead: Ledger, farms: list[Ledger]) -> None:
    for number in range(TIMES):
        name, after = f"job{number}", f"next{number}"
        units = ready("a", "b", job=after)
        resume = partial(farms[0].replace, job(name), job(after, LATER), units, LATER)
        refused = at_once(resume, partial(farms[1].take, name, LATER))
        if refused[0] is None:
            assert isinstance(refused[1], JobEnded)
            farms[0].record([done("a", after)], LATER)
        else:
            assert isinstance(refused[0], JobHeld)
            assert refused[1] is None
            assert dead.job(after) is None
            farms[1].record([done("a", name)], LATER)
    assert_counts_are_right(dead)


def test_a_job_that_has_ended_meanwhile_is_not_taken_and_stays_as_it_ended(
    dead: Ledger, farms: list[Ledger]
) -> None:
    completed = replace(job("job0"), state=JobState.COMPLETED)
    dead.record([done("a", "job0"), done("b", "job0"), JobChanged(completed)], NOW)
    dead.leave(NOW)
    with pytest.raises(JobEnded, match="job job0 has ended: it is completed"):
        farms[0].take("job0", LATER)
    farms[1].replace(job("job0"), job("next", LATER), ready("a", job="next"), LATER)
    assert dead.job("job0") == completed


def test_a_change_is_stored_before_its_job_is_taken_or_not_at_all(
    dead: Ledger, farms: list[Ledger]
) -> None:
    for number in range(TIMES):
        name = f"job{number}"
        store = partial(dead.record, [done("a", name)], LATER)
        refused, taken = at_once(store, partial(farms[0].take, name, LATER))
        assert taken is None
        states = [record.state for record in farms[0].units(name)]
        if refused:
            assert isinstance(refused, JobTakenOver)
            assert states == [S.RUNNING, S.READY]
        else:
            assert states == [S.SUCCEEDED, S.READY]
        assert_counts_are_right(dead)
        farms[0].record([done("a", name), done("b", name)], LATER)
    assert_counts_are_right(dead)


def test_farms_that_store_many_jobs_at_once_do_not_lock_each_other_out(
    dead: Ledger, farms: list[Ledger]
) -> None:
    names = [f"job{number}" for number in range(TIMES)]
    for name in names[::2]:
        farms[0].take(name, LATER)
    for name in names[1::2]:
        farms[1].take(name, LATER)

    def store(ledger: Ledger, own: list[str]) -> None:
        for _ in range(20):
            ledger.record([running(unit, name) for name in own for unit in "ab"], LATER)

    stale = [running("b", name) for name in reversed(names)]
    at_once(
        partial(store, farms[0], names[::2]),
        partial(store, farms[1], names[:0:-2]),
        partial(dead.record, stale, LATER),
    )
    assert {len(dead.story(name)) for name in names} == {41}
    assert_counts_are_right(dead)


def broken(name: str, attempt: int) -> UnitChanged:
    failure = Failure(Reason.BUG, "it broke", traceback=f"Traceback {attempt}")
    return UnitChanged(unit("a", name), S.RETRY_WAIT, attempt, failure=failure)


def test_farms_that_meet_the_same_error_at_once_store_it_once(
    dead: Ledger, farms: list[Ledger]
) -> None:
    farms[0].take("job0", LATER)
    farms[1].take("job1", LATER)
    for attempt in range(TIMES):
        calls = [
            partial(farm.record, [broken(name, attempt)], LATER)
            for farm, name in zip(farms, ("job0", "job1"), strict=True)
        ]
        assert at_once(*calls) == [None, None]
    for name in ("job0", "job1"):
        tracebacks = [failure.traceback for failure in dead.units(name)[0].failures]
        assert tracebacks == [f"Traceback {attempt}" for attempt in range(TIMES)]


def test_an_error_that_is_forgotten_and_met_at_once_keeps_its_traceback(
    dead: Ledger, farms: list[Ledger]
) -> None:
    farms[0].take("job0", LATER)
    for attempt in range(1, TIMES):
        name = f"job{attempt}"
        farms[1].take(name, LATER)
        ended = replace(job(name), state=JobState.COMPLETED)
        farms[1].record([broken(name, attempt), JobChanged(ended)], LATER)
        calls = partial(farms[0].record, [broken("job0", attempt)], LATER)
        assert at_once(calls, partial(farms[1].forget, LATER + 1)) == [None, 1]
    tracebacks = [failure.traceback for failure in dead.units("job0")[0].failures]
    assert tracebacks == [f"Traceback {attempt}" for attempt in range(1, TIMES)]


def test_a_farm_may_show_life_for_the_first_time_from_two_threads(
    open_ledger: Callable[[], Ledger],
) -> None:
    for _ in range(TIMES):
        ledger = open_ledger()
        assert at_once(*[partial(ledger.beat, NOW)] * 2) == [None, None]


def test_a_farm_that_adds_a_job_counts_as_living_though_it_has_not_said_so(
    open_ledger: Callable[[], Ledger], farms: list[Ledger]
) -> None:
    silent = open_ledger()
    silent.add(job("job", LATER), ready("a"))
    with pytest.raises(JobHeld):
        farms[0].take("job", LATER)


def test_units_of_a_farm_that_ended_in_good_order_are_counted_as_ready(
    dead: Ledger, farms: list[Ledger]
) -> None:
    dead.leave(NOW)
    farms[0].take("job0", LATER)
    assert farms[0].counts("job0") == {S.READY: 2}


def test_one_of_two_farms_adds_a_job_of_the_same_name(farms: list[Ledger]) -> None:
    for number in range(TIMES):
        name = f"job{number}"
        adds = (partial(farm.add, job(name, LATER), ready("a", job=name)) for farm in farms)
        results = at_once(*adds)
        assert sorted(type(result) for result in results if result) == [JobHeld]
        (winner,) = (farm for farm, result in zip(farms, results, strict=True) if not result)
        winner.record([done("a", name)], LATER)


# A service that has the ledger to itself


def test_one_of_two_services_has_the_ledger(farms: list[Ledger]) -> None:
    for _ in range(TIMES):
        results = at_once(*(partial(farm.hold, LATER) for farm in farms))
        (loser,) = (result for result in results if result)
        assert isinstance(loser, LedgerHeld)
        (winner,) = (farm for farm, result in zip(farms, results, strict=True) if not result)
        service = farms[0].holder(LATER)
        assert service is not None
        assert service.process == winner.process
        winner.hold(LATER)
        winner.leave(LATER)
        assert farms[0].holder(LATER) is None
        winner.beat(LATER)


def test_a_service_is_named_with_its_host_and_since_when_it_has_the_ledger(
    farms: list[Ledger],
) -> None:
    farms[0].hold(LATER)
    farms[0].hold(LATER + 10)
    process = farms[0].process
    pattern = rf"process {process.pid} on {process.host} serves the ledger .* since 1970-01-0\d "
    with pytest.raises(LedgerHeld, match=pattern):
        farms[1].hold(LATER + 10)


def test_a_service_that_is_dead_does_not_hold_the_ledger(
    open_ledger: Callable[[], Ledger], farms: list[Ledger]
) -> None:
    silent, gone = open_ledger(), open_ledger()
    silent.hold(NOW)
    gone.process = replace(gone.process, start=gone.process.start + 1)
    gone.hold(LATER)
    farms[0].hold(LATER)
    farms[0].beat(2 * LATER)
    with pytest.raises(LedgerHeld):
        silent.hold(2 * LATER)


def test_commands_run_jobs_beside_a_service(farms: list[Ledger]) -> None:
    farms[0].hold(LATER)
    farms[1].add(job("own", LATER), ready("a", job="own"))
    farms[1].record([done("a", "own")], LATER)
    assert farms[0].crashes(SPEC.key, ["out/a"]) == {}
