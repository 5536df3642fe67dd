"""Changes that thousands of units share, such as a cancellation: written by two statements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, literal, select, update

from farm.ledger.held_job import HeldJob
from farm.ledger.tables import story, units
from farm.model.events import UnitChanged
from farm.model.unit import UnitState

__all__ = ["FEW", "Stretch", "divided", "write_stretch"]

FEW: Final = 1000
"""Changes that are written one by one; it does not pay to look for more in fewer."""


@dataclass
class Stretch:
    """Units of a job with numbers first to last, all of which change as this one does."""

    change: UnitChanged
    first: int
    last: int

    def goes_on_with(self, change: UnitChanged, number: int) -> bool:
        return number == self.last + 1 and _way(change) == _way(self.change)


def divided(
    changes: Sequence[UnitChanged], held: Mapping[str, HeldJob]
) -> Iterator[list[UnitChanged] | Stretch]:
    """Yield changes in their order, with each long stretch of equal ones as one."""
    done = 0
    if len(changes) > FEW and _are_of_distinct_units(changes):
        for start, end, stretch in _stretches(changes, held):
            if start > done:
                yield list(changes[done:start])
            yield stretch
            done = end
    if done < len(changes):
        yield list(changes[done:])


def _are_of_distinct_units(changes: Sequence[UnitChanged]) -> bool:
    return len({(change.unit.job, change.unit.name) for change in changes}) == len(changes)


def _stretches(
    changes: Sequence[UnitChanged], held: Mapping[str, HeldJob]
) -> Iterator[tuple[int, int, Stretch]]:
    """Yield the long stretches among changes, each with where it starts and ends."""
    start, stretch = 0, None
    for place, change in enumerate(changes):
        number = held[change.unit.job].numbers[change.unit.name]
        if stretch and stretch.goes_on_with(change, number):
            stretch.last = number
            continue
        if stretch and place - start > FEW:
            yield start, place, stretch
        is_plain = change.state is UnitState.CANCELLED and not change.failure and not change.worker
        start, stretch = place, Stretch(change, number, number) if is_plain else None
    if stretch and len(changes) - start > FEW:
        yield start, len(changes), stretch


def _way(change: UnitChanged) -> tuple[object, ...]:
    return (
        change.unit.job,
        change.state,
        change.reason,
        change.by,
        change.worker,
        change.failure,
        change.figures,
    )


def write_stretch(connection: Connection, stretch: Stretch, reason: str, now: float) -> None:
    """Write the new state of the units, and add the change of each to the story.

    None of them was leased meanwhile, so that the number of attempts is as stored. reason: as it can
    be stored.
    """
    change = stretch.change
    theirs = units.c.job == change.unit.job, units.c.number.between(stretch.first, stretch.last)
    connection.execute(update(units).where(*theirs).values(state=change.state, reason=reason))
    line: dict[str, Any] = {
        "at": literal(now),
        "job": units.c.job,
        "unit": units.c.name,
        "state": literal(str(change.state)),
        "attempt": units.c.attempts,
        "worker": literal(""),
        "reason": literal(reason),
        "by": literal(change.by),
    }
    lines = select(*line.values()).where(*theirs).order_by(units.c.number)
    connection.execute(insert(story).from_select(list(line), lines))
