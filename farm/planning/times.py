"""Where parameters change over time, and what of that never comes."""

from collections.abc import Iterable, Iterator, Sequence

from farm.errors import BadParameter
from farm.host.schedule import Schedule
from farm.media import is_sequence
from farm.model.events import Notice
from farm.model.job import JobSpec
from farm.planning.inputs import Source
from farm.planning.outputs import is_film_target, is_one_frame, is_rendered_by_frame
from farm.planning.plan import FrameSequence, Length

__all__ = ["check_schedule", "notices_of_times"]


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
    schedule: Schedule | None, frames: str | None, sequences: Iterable[FrameSequence]
) -> Iterator[Notice]:
    """Yield a notice for each film that ends, or whose chosen frames end, before all its keyframes have come.

    frames: the range that was asked for. A single frame misses nothing.
    """
    if schedule is None:
        return
    for sequence in sequences:
        late = _not_reached(schedule, sequence.length)
        left = [time for time in _not_reached(schedule, sequence.end) if time not in late]
        url, by_frame = sequence.origin or sequence.target, schedule.is_by_frame
        if sequence.length and late:
            yield _notice(url, f"it ends after {_shown(sequence.length, by_frame=by_frame)}", late)
        if sequence.end and left and len(sequence.frames) > 1:
            end = _shown(sequence.end, by_frame=by_frame)
            yield _notice(url, f"`frames` {frames} ends after {end} of it", left)


def _not_reached(schedule: Schedule, length: Length | None) -> list[str]:
    return schedule.not_reached(length.seconds, length.frames) if length else []


def _shown(length: Length, *, by_frame: bool) -> str:
    plural = "s" if length.frames > 1 else ""
    return f"{length.frames} frame{plural}" if by_frame else f"{length.seconds:.4g} s"


def _notice(url: str, end: str, times: Sequence[str]) -> Notice:
    return Notice(url, f"{end}: what `at` says of {', '.join(times)} is not reached")
