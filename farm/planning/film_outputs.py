"""Finds the films that a job's units write, with the source of every frame."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from farm.model.film import Moment
from farm.model.unit import Unit
from farm.model.work import Encode, Join, Render


@dataclass(frozen=True)
class FilmOutput:
    """A coherent film that a job writes.

    frames: source and moment of each. cuts: indices in frames where a shot or segment starts.
    """

    target: str
    frames: Sequence[tuple[str, Moment | None]]
    cuts: frozenset[int]


def film_outputs(units: Iterable[Unit]) -> Iterator[FilmOutput]:
    """Yield the films that the units of a coherent job write."""
    units = tuple(units)
    by_name = {unit.name: unit for unit in units}
    for unit in units:
        if not isinstance(unit.work, Join):
            continue
        parts = [by_name[name].work for name in unit.needs]
        pictures = [p for part in parts if isinstance(part, Encode) for p in part.pictures]
        renders = [by_name[picture.own[0]] for picture in pictures]
        works = [render.work for render in renders if isinstance(render.work, Render)]
        frames = [(render.source, work.moment) for render, work in zip(renders, works, strict=True)]
        cuts = frozenset(index for index, work in enumerate(works) if work.before is None)
        yield FilmOutput(unit.target, frames, cuts)
