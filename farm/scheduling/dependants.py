"""Which units of a job wait for which."""

from collections.abc import Collection, Iterator, Sequence

from farm.errors import FarmBug
from farm.model.unit import UnitState
from farm.scheduling.units import UnitEntry

S = UnitState


class Dependants:
    """The units that need each unit, and the names of those that failed."""

    def __init__(self, entries: Sequence[UnitEntry]) -> None:
        """Set waits_for of each blocked unit. Raises FarmBug for a need that the job lacks."""
        self._by_name = {entry.unit.name: entry for entry in entries}
        self._waiting: dict[str, list[UnitEntry]] = {}
        self._missing: set[str] = set()
        for entry in entries:
            if entry.unit.needs:
                self._link(entry)

    def _link(self, entry: UnitEntry) -> None:
        needs = set(entry.unit.needs)
        unknown = [name for name in needs if name not in self._by_name]
        if unknown:
            names = ", ".join(unknown)
            raise FarmBug(f"unit {entry.unit.name} needs {names}, which the job does not contain")
        if entry.state is S.BLOCKED:
            entry.waits_for = len(needs)
        for needed in needs:
            self._waiting.setdefault(needed, []).append(entry)

    def get(self, name: str) -> UnitEntry | None:
        return self._by_name.get(name)

    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    def after(self, ended: UnitEntry) -> Iterator[UnitEntry]:
        """Return the units that need one that has ended, and note if it failed."""
        self.note_end(ended)
        return self.of(ended)

    def note_end(self, ended: UnitEntry) -> None:
        """Note whether a unit that has ended failed."""
        if not ended.state.is_done:
            self._missing.add(ended.unit.name)

    def of(self, entry: UnitEntry) -> Iterator[UnitEntry]:
        return iter(self._waiting.get(entry.unit.name, ()))

    def missing_needs(self, entry: UnitEntry) -> tuple[str, ...]:
        """Return the names of the units that this one needs and that failed."""
        if not self._missing:
            return ()
        return tuple(name for name in entry.unit.needs if name in self._missing)

    def find_again(self, entry: UnitEntry) -> None:
        """Note that a unit that failed may yet be done."""
        self._missing.discard(entry.unit.name)

    def unended(self, entry: UnitEntry) -> int:
        """Return how many of the units that this one needs have not ended."""
        return sum(not self._by_name[name].state.is_final for name in set(entry.unit.needs))

    def waits_for(self, entry: UnitEntry, again: Collection[str]) -> bool:
        """Return whether a unit needs one that has not ended, or one of these, which are tried again."""
        return any(
            name in again or not self._by_name[name].state.is_final for name in entry.unit.needs
        )

    def may_be_done(self, entry: UnitEntry, again: Collection[str]) -> bool:
        """Return whether a unit tolerates failures, or all that it needs and that failed is tried again."""
        return entry.unit.is_tolerant or set(self.missing_needs(entry)) <= set(again)
