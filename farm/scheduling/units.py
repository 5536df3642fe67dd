"""A unit as the scheduler sees it: its state, its history, and the units that wait for it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from farm.errors import FarmBug
from farm.model.history import RestoredUnit
from farm.model.messages import Reason
from farm.model.unit import HELD, Unit, UnitState

S = UnitState

TRANSITIONS = frozenset(
    {
        (S.BLOCKED, S.READY),
        (S.BLOCKED, S.CANCELLED),
        (S.READY, S.LEASED),
        (S.READY, S.QUARANTINED),
        (S.READY, S.CANCELLED),
        (S.LEASED, S.RUNNING),
        (S.RETRY_WAIT, S.READY),
        (S.RETRY_WAIT, S.CANCELLED),
        *(
            (held, end)
            for held in HELD
            for end in (S.READY, S.RETRY_WAIT, S.SUCCEEDED, S.QUARANTINED, S.CANCELLED)
        ),
    }
)
"""Every change of state that is allowed."""


@dataclass
class UnitEntry:
    """A unit and what has happened to it.

    number: index within the job. since: Unix seconds when it entered its state. waits_for: needed
    units that have not ended, while it is blocked. tried_on: workers it failed on. crashes: farms in
    a row that died while they held it. runs_alone: it may have killed them, so no other unit of its
    job runs beside it. history: its changes of state, one line each.
    """

    unit: Unit
    number: int
    state: UnitState
    since: float
    attempt: int
    failures: Counter[Reason]
    crashes: int = 0
    waits_for: set[str] = field(default_factory=set)
    tried_on: set[str] = field(default_factory=set)
    runs_alone: bool = False
    history: list[str] = field(default_factory=list)

    def enter(self, state: UnitState, now: float, why: str) -> UnitState:
        """Change the state and return the one before. Raises FarmBug for a change not allowed."""
        before = self.state
        self.history.append(f"{now:.3f} {before} -> {state} {why}".rstrip())
        if (before, state) not in TRANSITIONS:
            what = f"unit {self.unit.name} cannot change from {before} to {state}"
            raise FarmBug(what, tuple(self.history))
        self.state, self.since = state, now
        self.waits_for.clear()
        return before


def make_entries(units: Sequence[RestoredUnit], now: float) -> list[UnitEntry]:
    """Return the entries of a job's units, in their order."""
    return [
        UnitEntry(one.unit, number, one.state, now, one.attempt, Counter(one.failures), one.crashes)
        for number, one in enumerate(units)
    ]


def link_dependants(entries: Sequence[UnitEntry]) -> dict[str, list[UnitEntry]]:
    """Set waits_for of each blocked unit; return the blocked units by the names they need."""
    names = {entry.unit.name for entry in entries}
    dependants: dict[str, list[UnitEntry]] = {}
    for entry in entries:
        unknown = set(entry.unit.needs) - names
        if unknown:
            needs = ", ".join(unknown)
            raise FarmBug(f"unit {entry.unit.name} needs {needs}, which the job does not contain")
        if entry.state is S.BLOCKED:
            entry.waits_for = set(entry.unit.needs)
            for needed in entry.waits_for:
                dependants.setdefault(needed, []).append(entry)
    return dependants
