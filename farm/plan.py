"""Split a job into units: pure, decided once, the same whatever runs it."""

from collections.abc import Iterable

from farm.job import Unit


def plan_units(job: str, frames: Iterable[tuple[str, str, str]]) -> tuple[Unit, ...]:
    """Return one unit for each frame, given as (name, source, target), in their order."""
    return tuple(Unit(job, name, source, target) for name, source, target in frames)
