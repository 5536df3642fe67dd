"""The films that a coherent job's units make, with the source of every frame."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from farm.model.film import Moment
from farm.model.unit import Unit
from farm.model.work import Encode, Join, Render


@dataclass(frozen=True)
class FilmOutput:
    """A coherent film as its units make it.

    frames: source and moment of each. cuts: places in frames that begin a shot.
    """

    target: str
    frames: Sequence[tuple[str, Moment | None]]
    cuts: frozenset[int]


def film_outputs(units: Iterable[Unit]) -> Iterator[FilmOutput]:
    """Yield the films among the units of a coherent job."""
    units = tuple(units)
    by_name = {unit.name: unit for unit in units}
    for unit in units:
        if not isinstance(unit.work, Join):
            continue
        parts = [by_name[name].work for name in unit.needs]
        pictures = [p for part in parts if isinstance(part, Encode) for p in part.pictures]
        first = [by_name[picture.files[0][0]] for picture in pictures]
        works = [frame.work for frame in first if isinstance(frame.work, Render)]
        frames = [(frame.source, work.moment) for frame, work in zip(first, works, strict=True)]
        cuts = frozenset(place for place, work in enumerate(works) if work.before is None)
        yield FilmOutput(unit.target, frames, cuts)
