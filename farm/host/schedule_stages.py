"""The stages of parameters that change over time: what there is to check before a film is rendered."""

from collections.abc import Hashable, Iterable, Iterator, Sequence

from farm.host.keyframes import weighted
from farm.host.over_time import blend_of, changing, mixture
from farm.host.schedule import Schedule
from farm.host.task import TaskParams

__all__ = ["differing", "stages"]


def stages(params: TaskParams) -> Iterator[TaskParams]:
    """Yield the parameters of each stage of a film: at every keyframe, and between any two.

    Only the parameters themselves if they do not change. Raises ValueError for a schedule that cannot be
    followed, in whose message names in backticks are parameters.
    """
    schedule = Schedule.of(params)
    yield from schedule.stages() if schedule else [params]


def differing(stages: Iterable[TaskParams]) -> list[TaskParams]:
    """Return those stages that a check may judge differently.

    Of all that mix the same names, whatever their weights: the first, and those with the least and the
    greatest value of each number.
    """
    alike: dict[Hashable, list[TaskParams]] = {}
    for stage in stages:
        alike.setdefault(_names(stage), []).append(stage)
    return [stage for group in alike.values() for stage in _extremes(group)]


def _names(stage: TaskParams) -> Hashable:
    """Return the names that are mixed, and which numbers have no value."""
    return tuple(
        frozenset(weighted(text)[0] for text in value)
        if blend_of(field) is mixture
        else value is None
        for name, field in changing(type(stage)).items()
        for value in [getattr(stage, name)]
    )


def _extremes(group: Sequence[TaskParams]) -> Iterator[TaskParams]:
    chosen = {0}
    for name, field in changing(type(group[0])).items():
        values = [getattr(stage, name) for stage in group]
        if blend_of(field) is not mixture and values[0] is not None:
            chosen |= {values.index(min(values)), values.index(max(values))}
    return (group[place] for place in sorted(chosen))
