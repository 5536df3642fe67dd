"""Thousands of units that change in one way are written by few statements, and as any others."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import event

from farm.ledger import Ledger
from farm.ledger.stretches import FEW, Stretch, divided
from farm.model.events import UnitChanged
from farm.model.messages import Failure, Reason

from .farms import NOW, S, done, job, ready, unit

NAMES = [f"{number:05d}" for number in range(FEW + 10)]


def cancelled(name: str, reason: str = "cancelled") -> UnitChanged:
    return UnitChanged(unit(name), S.CANCELLED, 0, reason, "user")


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A farm with a job of many units, of which the first has failed once and the last is done."""
    ledger = open_ledger()
    ledger.add(job(), ready(*NAMES))
    failed = Failure(Reason.BUG, "it broke")
    waits = UnitChanged(unit(NAMES[0]), S.RETRY_WAIT, 1, "it broke", failure=failed)
    ledger.record([waits, done(NAMES[-1])], NOW)
    return ledger


def test_a_cancellation_of_thousands_of_units_takes_few_statements(ledger: Ledger) -> None:
    rows = []

    def count(*arguments: object) -> None:
        rows.append(len(arguments[3]) if arguments[5] else 1)  # type: ignore[arg-type]

    event.listen(ledger._engine, "before_cursor_execute", count)
    ledger.record([cancelled(name) for name in NAMES[:-1]], NOW + 1)
    assert sum(rows) < 10
    assert ledger.counts("job") == {S.CANCELLED: len(NAMES) - 1, S.SUCCEEDED: 1}
    records = ledger.units("job")
    assert {record.state for record in records[:-1]} == {S.CANCELLED}
    assert [record.attempts for record in (records[0], records[1], records[-1])] == [1, 0, 1]
    story = ledger.story("job", limit=len(NAMES) + 1)[2:]
    assert [line.unit for line in story] == NAMES[:-1]
    assert {(line.at, line.state, line.reason, line.by, line.worker) for line in story} == {
        (NOW + 1, S.CANCELLED, "cancelled", "user", "")
    }
    assert [line.attempt for line in story[:2]] == [1, 0]


def numbered(ledger: Ledger, changes: Sequence[UnitChanged]) -> list[int | tuple[int, int]]:
    """Return how changes are divided: their number, or first and last of a stretch."""
    return [
        (some.first, some.last) if isinstance(some, Stretch) else len(some)
        for some in divided(changes, ledger._held)
    ]


def test_only_long_stretches_of_equal_changes_are_written_as_one(ledger: Ledger) -> None:
    changes = [cancelled(name) for name in NAMES]
    last = len(NAMES) - 1
    other = replace(changes[0], reason="the job failed")
    assert numbered(ledger, changes) == [(0, last)]
    assert numbered(ledger, changes[:FEW]) == [FEW]
    assert numbered(ledger, [other, *changes[1:]]) == [1, (1, last)]
    assert numbered(ledger, [*changes[:-1], done(NAMES[-1])]) == [(0, last - 1), 1]
    assert numbered(ledger, [*changes[:500], *changes[501:]]) == [last]
    assert numbered(ledger, [*changes, changes[0]]) == [len(changes) + 1]
