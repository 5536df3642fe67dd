"""Where parameters change over time, and what of that never comes."""

from collections.abc import Iterable, Iterator, Sequence

from farm.errors import BadParameter
from farm.host.schedule import Schedule
from farm.media import is_sequence
from farm.model.events import Notice
from farm.model.job import JobSpec
from farm.planning.inputs import Source
from farm.planning.outputs import is_film_target, is_one_frame, is_rendered_by_frame
from farm.planning.plan import FrameSequence

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
    schedule: Schedule | None, sequences: Iterable[FrameSequence]
) -> Iterator[Notice]:
    """Yield a notice for each film that ends before all its keyframes have come."""
    if schedule is None:
        return
    for sequence in sequences:
        length = sequence.length
        if length and (times := schedule.not_reached(length.seconds, length.frames)):
            by_frame = f"{length.frames} frame{'s' if length.frames > 1 else ''}"
            end = by_frame if schedule.is_by_frame else f"{length.seconds:.4g} s"
            note = f"it ends after {end}: what `at` says of {', '.join(times)} is not reached"
            yield Notice(sequence.origin or sequence.target, note)
