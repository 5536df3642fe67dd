"""Which units of a job need not be done again, from what the ledger knows of equal jobs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from farm.model.history import UnitRecord
from farm.model.unit import Unit

IsStill = Callable[[str, str], bool]
"""Says whether the file at a place still has this SHA-256."""


def finished_units(
    units: Sequence[Unit], records: Mapping[str, UnitRecord], is_still: IsStill
) -> set[str]:
    """Return the names of units that are finished: all they need is, and their file is there.

    A file may be gone, as working pictures are, where all that needed it is finished.
    units: each behind those it needs. records: successes by target.
    """
    complete = _complete(units, records, is_still)
    dependants: dict[str, list[str]] = {}
    for unit in units:
        for name in unit.needs:
            dependants.setdefault(name, []).append(unit.name)
    finished: set[str] = set()
    for unit in reversed(units):
        if unit.name not in complete:
            continue
        after = dependants.get(unit.name, [])
        is_used_up = bool(after) and finished.issuperset(after)
        if is_used_up or is_still(unit.target, complete[unit.name]):
            finished.add(unit.name)
    return finished


def _complete(
    units: Sequence[Unit], records: Mapping[str, UnitRecord], is_still: IsStill
) -> dict[str, str]:
    """Return the digests of units that an equal job has done from the same sources, by name."""
    made = {unit.target for unit in units}
    complete: dict[str, str] = {}
    for unit in units:
        record = records.get(unit.target)
        if record is None or record.figures is None or replace(record.unit, job=unit.job) != unit:
            continue
        is_fresh = unit.source in made or is_still(unit.source, record.figures.source_sha256)
        if is_fresh and complete.keys() >= set(unit.needs):
            complete[unit.name] = record.figures.target_sha256
    return complete
