"""Finds the frames of a source that a film was rendered from, by its record and its times."""

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from typing import Final

from farm.errors import BadInput
from farm.media.film import read_film_record
from farm.model.film import Film

__all__ = ["matching_frames"]

_CHECKED: Final = 200
"""Frames whose times are compared, spread evenly."""


def matching_frames(source: Film, rendered: Film) -> range:
    """Return the indices of the source's frames that a film was rendered from, evenly spaced.

    The film's record states the first one, and the times of its frames state the rest. Without a
    record, the times must fit in one place only. Raises BadInput if no frames match.
    """
    expected, count = len(source.times), len(rendered.times)
    if count == expected:
        return range(count)
    first = _first_in_record(rendered.url)
    starts = range(expected - count + 1) if first is None else (first,)
    matches = list(islice(_matches(source, rendered, starts), 2))
    if len(matches) == 1:
        return matches[0]
    reason = f"it has {count} frames, but {source.url} has {expected}"
    why = "several ranges of frames fit it" if matches else "no range of frames has its times"
    raise BadInput(rendered.url, f"{reason}; give the film it was rendered from ({why})")


def _first_in_record(url: str) -> int | None:
    """Return the index of a film's first frame in its source, from the name of the frame."""
    source = (read_film_record(url) or {}).get("source")
    name = str(source.get("name", "")) if isinstance(source, dict) else ""
    number = name.rpartition("/")[2]
    return int(number) - 1 if "/" in name and number.isdecimal() else None


def _matches(source: Film, rendered: Film, starts: "range | tuple[int]") -> Iterator[range]:
    """Yield the ranges that start at one of the given frames and have the times of the film."""
    of_source, of_rendered = _seconds(source), _seconds(rendered)
    tolerance = max(source.duration(0) * source.time_base / 3, rendered.time_base)
    for start in starts:
        if not 0 <= start < len(of_source):
            continue
        chosen = _range_from(start, of_source, of_rendered, tolerance)
        if chosen is not None:
            yield chosen


def _seconds(film: Film) -> list[Fraction]:
    """Return when each frame is shown, counted from the first one."""
    return [(time - film.times[0]) * film.time_base for time in film.times]


def _range_from(
    start: int, source: list[Fraction], rendered: list[Fraction], tolerance: Fraction
) -> range | None:
    """Return the range from this frame on with the times of the rendered film, if there is one."""
    begin, count = source[start], len(rendered)
    second = rendered[1] if count > 1 else Fraction(0)
    step = max(1, bisect_left(source, begin + second - tolerance) - start)
    chosen = range(start, start + count * step, step)
    if chosen[-1] >= len(source):
        return None
    checked = {*range(0, count, max(1, count // _CHECKED)), count - 1}
    fits = all(abs(source[chosen[at]] - begin - rendered[at]) < tolerance for at in checked)
    return chosen if fits else None
