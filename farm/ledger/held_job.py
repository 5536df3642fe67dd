"""What the owner of a job remembers about it, so that it need not read before it writes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from farm.model.events import UnitChanged, UnitEvent, UnitsCancelled
from farm.model.history import RestoredUnit
from farm.model.unit import Role, UnitState

Counts = Counter[UnitState]


@dataclass
class HeldJob:
    """A job that this farm owns. numbers: of its units by name. states: of its units by number.

    counts, steps: of all units by state, and of those that render nothing, whose numbers are step_numbers.
    writes: how often changes of it have been recorded. tried: the changes that were to be recorded
    last, if it is not known whether they were. stored: changes that were, though their caller
    does not know it yet.
    """

    epoch: int
    writes: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    states: list[UnitState] = field(default_factory=list)
    counts: Counts = field(default_factory=Counter)
    steps: Counts = field(default_factory=Counter)
    step_numbers: set[int] = field(default_factory=set)
    tried: Sequence[UnitEvent] | None = None
    stored: Sequence[UnitEvent] = ()

    @classmethod
    def of(cls, epoch: int, writes: int, units: Iterable[tuple[str, UnitState, Role]]) -> Self:
        """Return the job with these units, by name, state and role."""
        held = cls(epoch, writes)
        for number, (name, state, role) in enumerate(units):
            held.numbers[name] = number
            held.states.append(state)
            if role is Role.FINISH:
                held.step_numbers.add(number)
        held.counts = Counter(held.states)
        held.steps = Counter(held.states[number] for number in held.step_numbers)
        return held

    @classmethod
    def of_planned(cls, epoch: int, writes: int, units: Iterable[RestoredUnit]) -> Self:
        """Return the job with these units."""
        return cls.of(epoch, writes, ((one.unit.name, one.state, one.unit.role) for one in units))

    def columns(self, changes: Sequence[UnitEvent] = ()) -> dict[str, str]:
        """Return the columns of the job that count its units, after these changes."""
        counts, steps = self._count(self._latest(changes))
        return {"counts": as_json(counts), "steps": as_json(steps)}

    def _latest(self, changes: Sequence[UnitEvent]) -> dict[int, UnitState]:
        """Return the last state of each unit that changes, by number."""
        latest: dict[int, UnitState] = {}
        for change in changes:
            if isinstance(change, UnitsCancelled):
                numbers = (self.numbers[unit.name] for unit in change.units)
                latest.update(dict.fromkeys(numbers, UnitState.CANCELLED))
            elif isinstance(change, UnitChanged):
                latest[self.numbers[change.unit.name]] = change.state
        return latest

    def _count(self, latest: Mapping[int, UnitState]) -> tuple[Counts, Counts]:
        """Return the counts of all units and of steps, when some are in these states by number."""
        of_steps = {n: state for n, state in latest.items() if n in self.step_numbers}
        return self._moved(self.counts, latest), self._moved(self.steps, of_steps)

    def _moved(self, before: Counts, latest: Mapping[int, UnitState]) -> Counts:
        counts = before.copy()
        counts.subtract(Counter(self.states[number] for number in latest))
        counts.update(Counter(latest.values()))
        return +counts

    def apply(self, changes: Sequence[UnitEvent]) -> None:
        """Remember changes that are stored."""
        latest = self._latest(changes)
        self.counts, self.steps = self._count(latest)
        for number, state in latest.items():
            self.states[number] = state
        self.writes += 1
        self.tried, self.stored = None, ()

    def settle(self, writes: int) -> None:
        """Learn how often changes have been recorded, and thereby whether the last ones were."""
        tried, stored = self.tried or (), self.stored
        if writes > self.writes:
            self.apply(tried)
            self.stored = (*stored, *tried)
        self.tried = None


def as_json(counts: Counts) -> str:
    """Return the numbers of units by state as they are stored."""
    return json.dumps({str(state): count for state, count in counts.items()})


def from_json(text: str | None) -> Counts:
    """Return the numbers of units by state from what as_json returned."""
    return Counter({UnitState(s): count for s, count in json.loads(text or "{}").items()})
