"""Finds the frames of a source that a film was rendered from, by its record and its times."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from typing import Final

from farm.errors import BadInput, BadParameter
from farm.media.film import read_film_record
from farm.model.film import Film
from farm.model.frame_range import FrameRange

__all__ = ["matching_frames"]

_CHECKED: Final = 200
"""Frames whose times are compared, spread evenly."""

_LOOPS: Final = (
    "it loops, so its first frames are blends that have no frame of the source to be compared with; "
    "render it without --loop, and measure that"
)


def matching_frames(source: Film, rendered: Film) -> range:
    """Return the indices of the source's frames that a film was rendered from, evenly spaced.

    The film's record states them. Without a record, the times of its frames must fit in one place
    only. Raises BadInput if no frames match.
    """
    expected, count = len(source.times), len(rendered.times)
    if count == expected:
        return range(count)
    film = (read_film_record(rendered.url) or {}).get("film")
    film = film if isinstance(film, dict) else {}
    if film.get("is_loop"):
        raise BadInput(rendered.url, _LOOPS)
    recorded = _recorded(film, expected)
    starts = range(expected - count + 1) if recorded is None else recorded[:1]
    matches = list(islice(_matches(source, rendered, starts), 2))
    if len(matches) == 1:
        return matches[0]
    reason = f"it has {count} frames, but {source.url} has {expected}"
    why = "several ranges of frames fit it" if matches else "no range of frames has its times"
    raise BadInput(rendered.url, f"{reason}; give the film it was rendered from ({why})")


def _recorded(film: Mapping[str, object], expected: int) -> range | None:
    """Return the frames that the record of a film states; None if it states none of the expected."""
    with suppress(BadParameter):
        return FrameRange.parse(str(film.get("frames"))).within(expected)
    return None


def _matches(source: Film, rendered: Film, starts: range) -> Iterator[range]:
    """Yield the ranges that start at one of these frames and have the times of the film."""
    of_source, of_rendered = _seconds(source), _seconds(rendered)
    tolerance = max(source.duration(0) * source.time_base / 3, rendered.time_base)
    for start in starts:
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
