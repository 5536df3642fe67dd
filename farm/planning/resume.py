"""Finds the units of a job that are finished, from the ledger's records of equal jobs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from farm.model.history import UnitRecord
from farm.model.messages import Figures
from farm.model.unit import Unit
from farm.model.work import Render

IsUnchanged = Callable[[str, str], bool]
"""Returns whether the file at a path still has this SHA-256."""


def is_same_work(before: Unit, unit: Unit) -> bool:
    """Return whether a unit of an earlier job does the same, with however many workers."""
    return replace(before, job=unit.job, workers=unit.workers) == unit


def finished_units(
    units: Sequence[Unit], records: Mapping[str, UnitRecord], is_unchanged: IsUnchanged
) -> set[str]:
    """Return the names of the units that need not be rendered again.

    A unit is finished if it and everything it needs succeeded with the same sources, and its file
    is unchanged. A file may be missing, as working pictures are, if every unit that needs it is
    finished. units: each after those it needs. records: successes by target.
    """
    completed = _completed_digests(units, records, is_unchanged)
    dependents: dict[str, list[str]] = {}
    for unit in units:
        for name in unit.needs:
            dependents.setdefault(name, []).append(unit.name)
    finished: set[str] = set()
    for unit in reversed(units):
        if unit.name not in completed:
            continue
        users = dependents.get(unit.name, [])
        is_used_up = bool(users) and finished.issuperset(users)
        if is_used_up or is_unchanged(unit.target, completed[unit.name]):
            finished.add(unit.name)
    return finished


def frames_of(units: Iterable[Unit]) -> set[tuple[str, int | None]]:
    """Return the source and number of each frame that units render, however often they do."""
    return {(unit.source, unit.frame) for unit in units if isinstance(unit.work, Render)}


def _completed_digests(
    units: Sequence[Unit], records: Mapping[str, UnitRecord], is_unchanged: IsUnchanged
) -> dict[str, str]:
    """Return, by name, the digests of the units that succeeded with the same sources."""
    targets = {unit.target for unit in units}
    completed: dict[str, str] = {}
    for unit in units:
        record = records.get(unit.target)
        if record is None or record.figures is None or not is_same_work(record.unit, unit):
            continue
        is_fresh = unit.source in targets or is_unchanged(unit.source, record.figures.source_sha256)
        is_fresh &= _looked_at_the_same(unit, record.figures, is_unchanged)
        if is_fresh and completed.keys() >= set(unit.needs):
            completed[unit.name] = record.figures.target_sha256
    return completed


def _looked_at_the_same(unit: Unit, figures: Figures, is_unchanged: IsUnchanged) -> bool:
    """Return whether the file with the later frame that a unit looked at is unchanged, if it did."""
    ahead = unit.work.ahead if isinstance(unit.work, Render) else None
    if ahead is None or figures.ahead_sha256 is None:
        return True
    return is_unchanged(ahead.source, figures.ahead_sha256)
