"""What the owner of a job remembers about it, so that it need not read before it writes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from farm.model.events import UnitChanged, UnitEvent, UnitsCancelled
from farm.model.unit import UnitState


@dataclass
class HeldJob:
    """A job that this farm owns. numbers: of its units by name. states: of its units by number.

    writes: how often changes of it have been recorded. tried: the changes that were to be recorded
    last, if it is not known whether they were. stored: changes that were, though their caller
    does not know it yet.
    """

    epoch: int
    writes: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    states: list[UnitState] = field(default_factory=list)
    counts: Counter[UnitState] = field(default_factory=Counter)
    tried: Sequence[UnitEvent] | None = None
    stored: Sequence[UnitEvent] = ()

    @classmethod
    def of(cls, epoch: int, writes: int, units: Iterable[tuple[str, UnitState]]) -> Self:
        """Return the job with these units, by name and state."""
        held = cls(epoch, writes)
        for number, (name, state) in enumerate(units):
            held.numbers[name] = number
            held.states.append(state)
        held.counts = Counter(held.states)
        return held

    def count_after(self, changes: Sequence[UnitEvent]) -> Counter[UnitState]:
        """Return the number of units in each state after these changes."""
        return self._count(self._latest(changes))

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

    def _count(self, latest: Mapping[int, UnitState]) -> Counter[UnitState]:
        counts = self.counts.copy()
        counts.subtract(Counter(self.states[number] for number in latest))
        counts.update(Counter(latest.values()))
        return +counts

    def apply(self, changes: Sequence[UnitEvent]) -> None:
        """Remember changes that are stored."""
        latest = self._latest(changes)
        self.counts = self._count(latest)
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


def as_json(counts: Counter[UnitState]) -> str:
    """Return the numbers of units by state as they are stored."""
    return json.dumps({str(state): count for state, count in counts.items()})


def from_json(text: str | None) -> Counter[UnitState]:
    """Return the numbers of units by state from what as_json returned."""
    return Counter({UnitState(s): count for s, count in json.loads(text or "{}").items()})
