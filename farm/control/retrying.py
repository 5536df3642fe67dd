"""What a user asks for when units are to be tried again: which ones, and what they need anew."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from farm import storage
from farm.errors import BadParameter, Conflict, UnknownName
from farm.model.frame_range import FrameRange
from farm.model.unit import FAILED, Unit, UnitState
from farm.model.work import Render

__all__ = ["KnownUnit", "chosen_units", "gone"]


class KnownUnit(Protocol):
    """A unit of a job, from the scheduler or from the ledger. retried_from: as in RestoredUnit."""

    @property
    def unit(self) -> Unit: ...

    @property
    def state(self) -> UnitState: ...

    @property
    def retried_from(self) -> int: ...


def chosen_units(
    job: str, known: Sequence[KnownUnit], units: Sequence[str], frames: str, *, redo: bool
) -> tuple[str, ...]:
    """Return the names of the units that a user means. Raises UnknownName, BadParameter, Conflict.

    known: the units of the job. units, frames: those to try; all if neither is given. redo: also
    those that succeeded. Those that are being tried again already are as good as failed ones: whoever
    asks for them may not have heard the first answer.
    """
    if not known:
        raise Conflict(f"job {job} ended before it was planned; submit it again")
    names = _named(known, units)
    if frames:
        names += _in_range([each.unit for each in known], frames)
    if redo and not names:
        raise BadParameter("redo", "it needs the frames to render again, such as 1-24")
    chosen = set(names)
    if not redo and not any(_may_be_tried(each) for each in known if _is_in(each.unit, chosen)):
        reason = "none of these frames failed" if names else "no frame of it failed"
        raise Conflict(
            f"job {job}: {reason}; to render finished ones again, name them as frames and add redo"
        )
    return tuple(names)


def _is_in(unit: Unit, chosen: set[str]) -> bool:
    return not chosen or unit.name in chosen


def _may_be_tried(known: KnownUnit) -> bool:
    """Return whether a unit has failed, or is being tried again."""
    is_tried = known.retried_from > 0 and not known.state.is_final
    return known.state in FAILED or is_tried


def _named(known: Sequence[KnownUnit], names: Sequence[str]) -> list[str]:
    there = dict.fromkeys(each.unit.name for each in known)
    for name in names:
        if name not in there:
            raise UnknownName("unit", name, there)
    return list(names)


def _in_range(units: Iterable[Unit], frames: str) -> list[str]:
    """Return the units that render these frames. Raises BadParameter if there are none."""
    chosen = FrameRange.parse(frames)
    numbered = list(_numbered(units))
    names = [unit.name for number, unit in numbered if number in chosen]
    if not names:
        there = [number for number, _ in numbered]
        known = f"; it has {min(there)} to {max(there)}" if there else ""
        raise BadParameter("frames", f"the job has no frame in {frames}{known}")
    return names


def _numbered(units: Iterable[Unit]) -> Iterator[tuple[int, Unit]]:
    """Yield the frames of films with their numbers, and stills with their places, all from 1."""
    stills = 0
    for unit in units:
        if isinstance(unit.work, Render):
            stills += unit.frame is None
            yield unit.frame or stills, unit


def gone(known: Sequence[KnownUnit]) -> frozenset[str]:
    """Return the units that are done and whose working files have been removed since."""
    return frozenset(_gone(known))


def _gone(known: Sequence[KnownUnit]) -> Iterator[str]:
    there: dict[str, set[str]] = {}
    for unit, state in ((each.unit, each.state) for each in known):
        if unit.is_working and state.is_done:
            folder = storage.parent(unit.target)
            if folder not in there:
                there[folder] = _names_in(folder)
            if storage.name(unit.target) not in there[folder]:
                yield unit.name


def _names_in(folder: str) -> set[str]:
    if not storage.is_folder(folder):
        return set()
    return {storage.name(entry.url) for entry in storage.entries(folder)}
