"""What a planned job would cost, by what this farm has measured of earlier ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from farm.errors import FarmError
from farm.media import is_film, still_size
from farm.model.costs import Cost, CostKind, format_of
from farm.model.picture_size import sized
from farm.model.unit import Unit
from farm.model.work import Blend, Encode, Render
from farm.planning.submission import Submission

__all__ = ["Estimate", "Measured", "estimate"]

MEGAPIXEL: Final = 1_000_000
_FAR: Final = 8
"""How many times as large as those that were measured frames are whose time is hardly known."""
_LOOKED_AT: Final = 200
"""Pictures whose size is looked at; the others count as their average."""


class Measured(Protocol):
    """What an estimate asks about earlier jobs. The ledger implements it."""

    def cost(self, kind: CostKind, device: str = "") -> Cost | None:
        """Return what frames of a kind have cost, or else others of its task and network."""

    def bytes_per_pixel(self, task: str, form: str) -> float | None:
        """Return how many bytes a pixel of a task's results has taken in a format."""


@dataclass(frozen=True)
class Estimate:
    """What a job would cost. Skipped units cost nothing.

    units: that are left to do. pixels: to render; a part that two segments of a film share counts twice.
    seconds: from the first frame to the last; None if nothing is known of such frames. seconds_per_megapixel:
    of one worker, for frames as large as these. based_on: frames that were measured. bytes: of the results, without sound; None
    if nothing is known. notes: for the user.
    """

    units: int
    pixels: int
    seconds: float | None = None
    seconds_per_megapixel: float | None = None
    based_on: int = 0
    bytes: int | None = None
    notes: tuple[str, ...] = ()


def estimate(
    submission: Submission, measured: Measured, *, workers: int = 1, device: str = ""
) -> Estimate:
    """Return what a planned job would cost.

    workers: that render it. device: theirs; if it is empty, what was measured last counts.
    """
    spec = submission.job.spec
    units = [one.unit for one in submission.units if not one.state.is_final]
    pixels, notes = _pixels_by_unit(units, spec.plan.size), list[str]()
    total = sum(pixels.get(unit.name, 0) for unit in units if isinstance(unit.work, Render))
    cost = measured.cost(CostKind.of(spec), device)
    if cost is None:
        on = f" on {device}" if device else ""
        notes.append(f"the time is not known: no frame of {spec.task} has been measured yet{on}")
    elif not cost.is_exact:
        notes.append("the frames that were measured had other settings; the time may differ much")
    taken = _taken(units, pixels, cost) if cost and total else None
    if taken and cost and total > _FAR * len(taken) * cost.pixels / cost.units:
        notes.append(
            "the frames that were measured were far smaller, and took longer per megapixel than large "
            "ones do; it may take far less"
        )
    return Estimate(
        units=len(units),
        pixels=total,
        seconds=_seconds(units, taken, workers) if taken else None,
        seconds_per_megapixel=sum(taken.values()) / total * MEGAPIXEL if taken else None,
        based_on=round(cost.units) if cost else 0,
        bytes=_bytes(spec.task, units, pixels, measured),
        notes=tuple(notes),
    )


def _pixels_by_unit(units: Sequence[Unit], size: str | None) -> dict[str, int]:
    """Return the pixels that each unit writes, by its name; all are 0 if no source can be read.

    A frame of an endless film is as large as the still that the film starts from.
    size: that sources are brought to.
    """
    origins: dict[str, str] = {}
    sources: dict[str, str] = {}
    for unit in units:
        if isinstance(unit.work, Render) and not unit.work.refusal:
            source = origins.get(unit.source, unit.source)
            origins[unit.target] = sources[unit.name] = source
    distinct = list(dict.fromkeys(sources.values()))
    some = distinct[:: max(1, len(distinct) // _LOOKED_AT)]
    known = {source: count for source in some if (count := _source_pixels(source, size))}
    average = round(sum(known.values()) / len(known)) if known else 0
    pixels = {name: known.get(source, average) for name, source in sources.items()}
    for unit in units:
        if isinstance(unit.work, Blend | Encode):
            pictures = (unit.work.picture,) if isinstance(unit.work, Blend) else unit.work.pictures
            pixels[unit.name] = sum(pixels.get(one.own[0], average) for one in pictures)
    return pixels


def _source_pixels(source: str, size: str | None) -> int:
    """Return the pixels of a still or of a film's frames; 0 if they cannot be read."""
    try:
        if not is_film(source):
            width, height = still_size(source)
        else:
            from farm.media.film import film_size

            width, height = film_size(source)
    except FarmError:
        return 0
    height, width = sized(size, height, width)
    return width * height


def _taken(units: Sequence[Unit], pixels: Mapping[str, int], cost: Cost) -> dict[str, float]:
    """Return the seconds that each unit takes that renders a picture, by its name."""
    rendered = (unit.name for unit in units if isinstance(unit.work, Render))
    return {name: cost.of(count) for name in rendered if (count := pixels.get(name, 0))}


def _seconds(units: Sequence[Unit], taken: Mapping[str, float], workers: int) -> float:
    """Return how long workers take to render the frames, of which some wait for others."""
    worked, ends = 0.0, dict[str, float]()
    for unit in units:
        seconds = taken.get(unit.name, 0.0)
        worked += seconds * (unit.workers or workers)
        ends[unit.name] = seconds + max((ends.get(name, 0.0) for name in unit.needs), default=0.0)
    return max(worked / max(1, workers), max(ends.values(), default=0.0))


def _bytes(
    task: str, units: Sequence[Unit], pixels: Mapping[str, int], measured: Measured
) -> int | None:
    """Return the size of the files that stay; None if nothing is known of one of the formats."""
    of_form: Counter[str] = Counter()
    for unit in units:
        if form := format_of(unit):
            of_form[form] += pixels.get(unit.name, 0)
    sizes = {form: measured.bytes_per_pixel(task, form) for form in of_form}
    if not +of_form or None in sizes.values():
        return None
    return round(sum(count * (sizes[form] or 0.0) for form, count in of_form.items()))
