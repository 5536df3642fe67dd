"""Removes the working files of a job as soon as no unit needs them."""

from collections.abc import Iterable
from typing import Final

from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.unit import Unit, UnitState
from farm.storage import parent, remove_files, remove_folder, remove_leftovers

_AGAIN: Final = (UnitState.READY, UnitState.BLOCKED)


class WorkingFiles:
    """The files of one job that only its own units read.

    The cost of a change does not grow with the number of units. The files that a failed unit needs
    are kept, so that a resumed job does not render them again.
    """

    def __init__(self, units: Iterable[RestoredUnit]) -> None:
        restored_units = tuple(units)
        self._units = {restored.unit.name: restored.unit for restored in restored_units}
        self._waiting: dict[str, set[str]] = {}
        self._folders = {parent(unit.target) for unit in self._units.values() if unit.is_working}
        self._failed: set[str] = set()
        begun = (restored.unit for restored in restored_units if restored.attempt)
        self._left_behind = {parent(unit.target) for unit in begun}
        for unit in self._units.values():
            for name in unit.needs:
                self._waiting.setdefault(name, set()).add(unit.name)
        self._needed = len(self._waiting)
        for restored in restored_units:
            self._end(restored.unit, restored.state)

    def on_change(self, change: UnitChanged) -> None:
        """Handle a unit's change after it has been stored."""
        self._end(change.unit, change.state)
        if change.state in _AGAIN:
            self._begin_again(change.unit)
        if change.state is UnitState.SUCCEEDED and change.unit.name not in self._waiting:
            self._remove_folders()

    def on_cancelled(self, units: Iterable[Unit]) -> None:
        """Handle the cancellation of units that waited."""
        for unit in units:
            self._end(unit, UnitState.CANCELLED)

    def end(self) -> None:
        """Remove what the workers of dead farms had begun to write, now that the job has ended.

        When the job was taken over, some of them may still have lived.
        """
        for folder in self._left_behind:
            remove_leftovers(folder)

    def _begin_again(self, unit: Unit) -> None:
        """Let a unit wait for those that it needs, also if it had ended."""
        self._failed.discard(unit.name)
        for name in unit.needs:
            self._needed += not self._waiting[name]
            self._waiting[name].add(unit.name)
        if unit.is_working:
            self._folders.add(parent(unit.target))

    def _end(self, unit: Unit, state: UnitState) -> None:
        if not state.is_final:
            return
        if not state.is_done or not self._failed.isdisjoint(unit.needs):
            if unit.is_working or unit.needs:
                self._failed.add(unit.name)
            return
        released = [name for name in unit.needs if self._release(name, unit)]
        needed = (self._units[name] for name in released)
        remove_files(unit.target for unit in needed if unit.is_working)

    def _release(self, needed: str, by: Unit) -> bool:
        """Note that a unit does not wait for another any longer; return whether none does now."""
        waiting = self._waiting[needed]
        if by.name not in waiting:
            return False
        waiting.remove(by.name)
        self._needed -= not waiting
        return not waiting

    def _remove_folders(self) -> None:
        """Remove the working folders, once, if no unit waits and none failed."""
        if self._failed or self._needed:
            return
        while self._folders:
            remove_folder(self._folders.pop())
