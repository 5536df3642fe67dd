"""Schedules: the values of parameters that change, at a time of a film.

They depend on the parameters and the time alone, so that every worker, attempt and order of frames
gives the same picture.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache, partial
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from farm.host.blame import reworded
from farm.host.flags import flag_of
from farm.host.keyframes import Keyframe, is_keyframe, one_each, parse_keyframe
from farm.host.over_time import (
    Blend,
    TimedParams,
    blend_of,
    changing,
    count_of_numbers,
    mixture,
    numbers,
)
from farm.host.task import TaskParams

__all__ = ["Schedule", "at_start"]


@dataclass(frozen=True)
class _Track:
    """The values of one parameter at rising times."""

    times: Sequence[float]
    values: Sequence[Any]
    blend: Blend

    def at(self, time: float) -> Any:
        place = bisect_right(self.times, time)
        if place == 0 or place == len(self.times):
            return self.values[max(0, place - 1)]
        start, end = self.times[place - 1 : place + 1]
        one, other = self.values[place - 1 : place + 1]
        if time == start or one == other:
            return one
        return self.blend(one, other, (time - start) / (end - start))


@dataclass(frozen=True)
class Schedule:
    """How parameters change over time.

    params: as they are given, without keyframes. is_by_frame: times are numbers of frames, not seconds.
    """

    params: TimedParams
    is_by_frame: bool
    tracks: Mapping[str, _Track]

    @classmethod
    def of(cls, params: TaskParams) -> Self | None:
        """Return the schedule of parameters; None if they do not change.

        Raises ValueError for one that cannot be followed from its start to its end, in which names in
        backticks are parameters.
        """
        if not isinstance(params, TimedParams):
            return None
        keyframes = [parse_keyframe(text) for text in params.at if is_keyframe(text)]
        if not keyframes:
            return None
        is_by_frame = keyframes[0].is_frame
        _check_times(keyframes)
        tracks = _tracks(params, keyframes, start=float(is_by_frame))
        others = tuple(text for text in params.at if not is_keyframe(text))
        return cls(params.model_copy(update={"at": others}), is_by_frame, tracks)

    def at(self, seconds: float, number: int) -> TimedParams:
        """Return the parameters of a frame. number: of the frame in its film, from 0."""
        return self._params(number + 1 if self.is_by_frame else seconds)

    def _params(self, time: float) -> TimedParams:
        values = {name: track.at(time) for name, track in self.tracks.items()}
        return type(self.params).model_validate(dict(self.params) | values)

    def stages(self) -> Iterator[TimedParams]:
        """Yield the parameters at every keyframe and between any two. Raises ValueError for a combination."""
        given = sorted({time for track in self.tracks.values() for time in track.times})
        between = [(one + other) / 2 for one, other in pairwise(given)]
        for time in sorted((*given, *between)):
            try:
                yield self._params(time)
            except ValidationError as error:
                unit = "f" if self.is_by_frame else ""
                raise ValueError(f"at {unit}{time:g}: {_reason(error)}") from None


def _check_times(keyframes: Sequence[Keyframe]) -> None:
    if len({keyframe.is_frame for keyframe in keyframes}) > 1:
        raise ValueError("times are in seconds, or all in frames such as f240; do not mix them")
    for one, other in pairwise(keyframes):
        if one.time >= other.time:
            raise ValueError(
                f"{other} comes after {one}; give the times in rising order, each of them once"
            )


def _tracks(params: TimedParams, keyframes: Sequence[Keyframe], start: float) -> dict[str, _Track]:
    """Return how each parameter changes. start: the time of a film's first frame."""
    given: dict[str, dict[float, Any]] = {}
    read = cache(partial(_Reader, type(params)))
    for keyframe in keyframes:
        for name, texts in keyframe.values.items():
            reader = read(name)
            values = given.setdefault(reader.key, {})
            if keyframe.time in values:
                raise ValueError(
                    f"at {keyframe}: `{reader.key}` is given twice; use one of its names"
                )
            values[keyframe.time] = reader.value(texts, str(keyframe))
    tracks = {}
    for key, values in given.items():
        first, own = min(values), getattr(params, key)
        if first > start and own in (None, ()):
            raise ValueError(f"`{key}` has no value before {first:g}; give it one at the start too")
        whole = {start: own} | values if first > start else values
        blend = blend_of(type(params).model_fields[key])
        assert blend is not None, "vetted when its plugin was loaded"
        tracks[key] = _Track([*whole], [*whole.values()], blend)
    return tracks


def _field_named(params: type[TaskParams], name: str) -> str:
    """Return the parameter with this name or flag. Raises ValueError."""
    marked = changing(params)
    names = {_flag(key, field): key for key, field in marked.items()}
    if name in marked or name in names:
        return names.get(name, name)
    if any(name in (key, _flag(key, field)) for key, field in params.model_fields.items()):
        reason = f"{name} cannot change over time"
    else:
        close = get_close_matches(name, names, 1)
        reason = f"there is no {name}" + (f", did you mean {close[0]}?" if close else "")
    raise ValueError(f"{reason}; these can: {', '.join(names)}")


def _flag(name: str, field: FieldInfo) -> str:
    return flag_of(name, field).removeprefix("--")


class _Reader:
    """Reads the values of one parameter. Raises ValueError for a name that no parameter has, or that cannot change."""

    def __init__(self, params: type[TimedParams], name: str) -> None:
        self.key, self._name = _field_named(params, name), name
        field = params.model_fields[self.key]
        kind: Any = Annotated[field.annotation, *field.metadata]
        self._adapter, self._blend = TypeAdapter(kind), blend_of(field)
        self._count = count_of_numbers(field) if self._blend is numbers else 1

    def value(self, texts: Sequence[str], time: str) -> Any:
        """Return the value of the parameter that was given these texts. Raises ValueError."""
        raw: object = texts[-1]
        if self._blend is numbers:
            raw = self._numbers(texts[-1], time)
        elif self._blend is mixture:
            raw = tuple(texts)
        if len(texts) > 1 and self._blend is not mixture:
            raise ValueError(f"at {time}: `{self.key}` is given twice; give it once")
        try:
            return self._adapter.validate_python(raw)
        except ValidationError as error:
            if self._blend is mixture and any("," in text for text in texts):
                form = one_each(self._name, ",".join(texts).replace(",", " ").split())
                raise ValueError(f"at {time}: {form}") from None
            reason = f"{_reason(error)}, not {' '.join(texts)!r}"
            raise ValueError(f"at {time}: `{self.key}` {reason}") from None

    def _numbers(self, text: str, time: str) -> list[str]:
        """Return the numbers of a text with commas. Raises ValueError if there are more or fewer."""
        given = text.split(",")
        if len(given) != self._count:
            form = ",".join(map(str, range(1, self._count + 1)))
            raise ValueError(
                f"at {time}: `{self.key}` takes {self._count} numbers with commas and no spaces, such as "
                f"{form}, not {text!r}"
            )
        return given


def _reason(error: ValidationError) -> str:
    return reworded(error.errors(include_url=False)[0]["msg"]).partition(", unable to")[0]


def at_start(params: TaskParams) -> TaskParams:
    """Return the parameters at the start of a film, which stay as they are."""
    schedule = Schedule.of(params)
    return schedule.at(0.0, 0) if schedule else params
