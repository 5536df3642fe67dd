"""Removing working files as soon as nothing needs them any more."""

from collections.abc import Iterable
from pathlib import Path

from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.unit import Unit, UnitState
from farm.storage import output_path, remove_file, remove_folder


class WorkingFiles:
    """The files of one job that only its own units read.

    Where something failed, what it was made from stays, so that a resumed job redoes no more.
    """

    def __init__(self, units: Iterable[RestoredUnit]) -> None:
        entered = tuple(units)
        self._units = {entering.unit.name: entering.unit for entering in entered}
        self._waiting: dict[str, set[str]] = {}
        self._failed: set[str] = set()
        for unit in self._units.values():
            for name in unit.needs:
                self._waiting.setdefault(name, set()).add(unit.name)
        for entering in entered:
            self._end(entering.unit, entering.state)

    def on_change(self, change: UnitChanged) -> None:
        """Hear of a unit's change, after it was stored."""
        self._end(change.unit, change.state)
        if change.state is UnitState.SUCCEEDED and change.unit.name not in self._waiting:
            self._tidy()

    def _end(self, unit: Unit, state: UnitState) -> None:
        if not state.is_final:
            return
        if not state.is_done or not self._failed.isdisjoint(unit.needs):
            self._failed.add(unit.name)
            return
        for name in unit.needs:
            self._let_go(self._units[name], unit)

    def _let_go(self, needed: Unit, by: Unit) -> None:
        waiting = self._waiting[needed.name]
        waiting.discard(by.name)
        if not waiting and needed.is_working:
            remove_file(output_path(needed.target))

    def _tidy(self) -> None:
        """Remove the working folders, once nothing waits and nothing failed."""
        if self._failed or any(self._waiting.values()):
            return
        for folder in self._folders():
            remove_folder(folder)

    def _folders(self) -> set[Path]:
        return {output_path(u.target).parent for u in self._units.values() if u.is_working}
