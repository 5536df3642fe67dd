"""Where parameters change over time, and what of that never comes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from farm.errors import BadParameter
from farm.host.keyframes import time_in
from farm.host.over_time import TimedParams
from farm.host.schedule import Schedule
from farm.host.task import TaskParams
from farm.media import is_sequence
from farm.model.events import Notice
from farm.model.job import JobSpec
from farm.planning.inputs import Source
from farm.planning.outputs import is_film_target, is_one_frame, is_rendered_by_frame
from farm.planning.plan import FrameSequence, Length

__all__ = ["check_schedule", "notices_of_times"]

Time = tuple[float, bool]
"""Seconds, or the number of a frame from 1, and whether it is one."""

_ROUNDING: Final = 0.01
"""Seconds by which the end of a film may lie before the one that its rate gives: files round times."""


def check_schedule(
    schedule: Schedule | None, spec: JobSpec, sources: Sequence[Source], *, is_endless: bool
) -> None:
    """Raise BadParameter for parameters that change over time where there is no time."""
    if schedule is None or is_endless or is_film_target(spec.output) or is_sequence(spec.output):
        return
    many = len(sources) > 1
    if is_one_frame(sources, spec.output, spec.frames):
        return
    if not any(is_rendered_by_frame(source, spec.output, many) for source in sources):
        raise BadParameter("at", "only applies to films, and every input is a still")


def notices_of_times(
    params: TaskParams, frames: str | None, sequences: Iterable[FrameSequence]
) -> Iterator[Notice]:
    """Yield a notice for each film that ends, or whose chosen frames end, before all of `at` has come.

    frames: the range that was asked for. A single frame misses nothing.
    """
    if not isinstance(params, TimedParams):
        return
    times = sorted({time for text in params.at if (time := time_in(text))})
    for sequence in sequences:
        late = _not_reached(times, sequence.length)
        left = [time for time in _not_reached(times, sequence.end) if time not in late]
        url = sequence.origin or sequence.target
        if sequence.length and late:
            yield _notice(url, f"it ends after {_shown(sequence.length, late)}", late)
        if sequence.end and left and len(sequence.frames) > 1:
            end = _shown(sequence.end, left)
            yield _notice(url, f"`frames` {frames} ends after {end} of it", left)


def _not_reached(times: Iterable[Time], length: Length | None) -> list[Time]:
    """Return the times that come after the end of a film."""
    if not length:
        return []
    ends = {False: length.seconds + _ROUNDING, True: length.frames}
    return [(time, is_frame) for time, is_frame in times if time > ends[is_frame]]


def _shown(length: Length, times: Iterable[Time]) -> str:
    """Return a length in frames if the times are."""
    by_frame = all(is_frame for _, is_frame in times)
    plural = "s" if length.frames > 1 else ""
    return f"{length.frames} frame{plural}" if by_frame else f"{length.seconds:.4g} s"


def _notice(url: str, end: str, times: Iterable[Time]) -> Notice:
    written = ", ".join(f"{'f' if is_frame else ''}{time:g}" for time, is_frame in times)
    return Notice(url, f"{end}: what `at` says of {written} is not reached")
