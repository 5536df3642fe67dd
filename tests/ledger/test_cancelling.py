"""A cancellation of thousands of units is written by few statements, and as any other change."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import event

from farm.errors import FarmBug
from farm.ledger import Ledger
from farm.model.events import UnitChanged, UnitsCancelled
from farm.model.messages import Failure, Reason

from .farms import NOW, S, done, job, ready, running, unit

NAMES = [f"{number:04d}" for number in range(1010)]
WAIT = NAMES[:-2]
CANCELLED = UnitsCancelled(
    "job", tuple(map(unit, WAIT)), (1, *[0] * (len(WAIT) - 1)), "cancelled", "user"
)


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A farm with a job of many units: the first has failed once, one runs, and the last is done."""
    ledger = open_ledger()
    ledger.add(job(), ready(*NAMES))
    failed = Failure(Reason.BUG, "it broke")
    waits = UnitChanged(unit(NAMES[0]), S.RETRY_WAIT, 1, "it broke", failure=failed)
    ledger.record([waits, running(NAMES[-2]), done(NAMES[-1])], NOW)
    return ledger


def test_a_cancellation_of_thousands_of_units_takes_few_statements(ledger: Ledger) -> None:
    rows = []

    def count(*arguments: object) -> None:
        rows.append(len(arguments[3]) if arguments[5] else 1)  # type: ignore[arg-type]

    event.listen(ledger._engine, "before_cursor_execute", count)
    ledger.record([CANCELLED], NOW + 1)
    assert sum(rows) < 10


def test_only_the_units_that_wait_are_cancelled(ledger: Ledger) -> None:
    ledger.record([CANCELLED], NOW + 1)
    counts = {S.CANCELLED: len(WAIT), S.RUNNING: 1, S.SUCCEEDED: 1}
    assert ledger.counts("job") == counts
    records = ledger.units("job")
    assert [record.state for record in records[-2:]] == [S.RUNNING, S.SUCCEEDED]
    assert {record.state for record in records[:-2]} == {S.CANCELLED}
    assert [record.attempts for record in records[:2]] == [1, 0]


def test_the_story_has_the_cancellation_of_each_unit_in_their_order(ledger: Ledger) -> None:
    ledger.record([CANCELLED], NOW + 1)
    story = ledger.story("job", limit=len(NAMES) + 3)[3:]
    assert [line.unit for line in story] == WAIT
    assert {(line.at, line.state, line.reason, line.by, line.worker) for line in story} == {
        (NOW + 1, S.CANCELLED, "cancelled", "user", "")
    }
    assert [line.attempt for line in story[:2]] == [1, 0]


def test_changes_before_and_after_a_cancellation_are_stored_in_their_order(ledger: Ledger) -> None:
    """A unit that has just become ready is among those that wait, and others end later."""
    ready_again = done(NAMES[-1])._replace(state=S.READY, figures=None)
    everything = replace(
        CANCELLED, units=(*CANCELLED.units, unit(NAMES[-1])), attempts=(*CANCELLED.attempts, 1)
    )
    stopped = running(NAMES[-2])._replace(state=S.CANCELLED)
    ledger.record([ready_again, everything, stopped], NOW + 1)
    assert ledger.counts("job") == {S.CANCELLED: len(NAMES)}
    last = [line.unit for line in ledger.story("job", limit=2 * len(NAMES))[-2:]]
    assert last == [NAMES[-1], NAMES[-2]]


def test_a_cancellation_of_other_units_than_those_that_wait_is_not_stored(ledger: Ledger) -> None:
    with pytest.raises(FarmBug, match="1008 units of job job wait, and 1007 should"):
        ledger.record([replace(CANCELLED, units=CANCELLED.units[1:])], NOW + 1)
    assert ledger.counts("job") == {S.READY: 1007, S.RETRY_WAIT: 1, S.RUNNING: 1, S.SUCCEEDED: 1}
