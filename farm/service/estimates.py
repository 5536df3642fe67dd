"""Estimates: what a job would cost, from its plan and from what this farm has measured."""

import time
from statistics import median
from typing import Final

from farm.errors import FarmError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.media import still_size
from farm.model.job import JobSpec
from farm.model.unit import Unit, UnitState
from farm.model.work import Render
from farm.planning.submission import Planner
from farm.service import wire

__all__ = ["estimate"]

MEGAPIXEL: Final = 1_000_000
_LOOKED_AT: Final = 200
"""Pictures whose size is looked at; the others count as their average."""
_JOBS, _UNITS = 20, 50


def estimate(spec: JobSpec, registry: Registry, ledger: Ledger, workers: int) -> wire.Estimate:
    """Return what a job would cost on so many workers. Raises UserError if it would be refused."""
    notes: list[str] = []
    planner = Planner(registry, ledger, lambda event: notes.append(str(getattr(event, "note", ""))))
    units = [restored.unit for restored in planner.plan(spec, time.time()).units]
    pixels = _pixels(units)
    costs = _costs(ledger, spec.task)
    pace = median(costs) if costs else None
    return wire.Estimate(
        units=len(units),
        pixels=pixels,
        seconds=pace * pixels / MEGAPIXEL / max(1, workers)
        if pace is not None and pixels
        else None,
        seconds_per_megapixel=pace,
        based_on=len(costs),
        notes=[note for note in notes if note][:20],
    )


def _pixels(units: list[Unit]) -> int:
    """Return the pixels of all stills among the sources; those of films are not known before."""
    sources = [u.source for u in units if isinstance(u.work, Render) and u.work.moment is None]
    sizes = []
    for source in sources[:: max(1, len(sources) // _LOOKED_AT)]:
        try:
            width, height = still_size(source)
        except FarmError:
            continue
        sizes.append(width * height)
    return round(sum(sizes) / len(sizes) * len(sources)) if sizes else 0


def _costs(ledger: Ledger, task: str) -> list[float]:
    """Return the seconds per megapixel of the latest units of a task that have succeeded."""
    found: list[float] = []
    for job in ledger.jobs(limit=_JOBS, task=task):
        for record in ledger.units_page(job.id, limit=_UNITS, state=UnitState.SUCCEEDED):
            figures = record.figures
            if figures and figures.pixels:
                found.append(sum(figures.seconds.values()) / figures.pixels * MEGAPIXEL)
    return found
