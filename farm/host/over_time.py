"""Parameters that may change over the time of a film: how they are declared, and what is between two values."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo

from farm.host.keyframes import parse_keyframe, weighted
from farm.host.task import Task, TaskParams

__all__ = [
    "MOST_KEYFRAMES",
    "Blend",
    "OverTime",
    "TimedParams",
    "blend_of",
    "changing",
    "count_of_numbers",
    "mixture",
    "numbers",
    "over_time_fault",
]


class _ChangesOverTime:
    """Marks a parameter that may change over time."""


_CHANGES: Final = _ChangesOverTime()

MOST_KEYFRAMES: Final = 1000

Value = TypeVar("Value")

OverTime = Annotated[Value, _CHANGES]
"""A parameter that may change over time, as in ``strength: OverTime[float]``.

Numbers, and tuples of a fixed number of them, are interpolated; whole numbers are rounded. Texts
NAME or NAME=WEIGHT of a tuple of any length are cross-faded by weight.
"""


def _checked(text: str) -> str:
    return TimedParams.checked_keyframe(text)


class TimedParams(TaskParams):
    """Parameters of which some change over the time of a film: those marked OverTime.

    render finds in self.params the values at the frame's time. A marked parameter goes from its own value at
    the start to those of `at`, and keeps the last one.
    """

    at: tuple[Annotated[str, AfterValidator(_checked)], ...] = Field(
        (),
        max_length=MOST_KEYFRAMES,
        title="Over time",
        description="Values at a time of a film, as TIME NAME=VALUE ..., several times: 10 step=2 is a step of "
        "2 at 10 seconds, f240 step=2 at frame 240. Numbers are interpolated in between, and names cross-fade. "
        "A pair of numbers has a comma and no space, NAME=2,0; of several names, each is a NAME=VALUE.",
        json_schema_extra={"rows": 3},
    )

    @staticmethod
    def checked_keyframe(text: str) -> str:
        """Return a text TIME NAME=VALUE ... as it is. Raises ValueError for any other.

        A subclass that gives `at` other texts too checks keyframes with it.
        """
        parse_keyframe(text)
        return text


Blend = Callable[[Any, Any, float], Any]
"""Returns what is between two values. The share of the second one is above 0 and below 1."""


def _number(one: float, other: float, share: float) -> float:
    return one + (other - one) * share


def _whole(one: int, other: int, share: float) -> int:
    return round(_number(one, other, share))


def numbers(one: Sequence[float], other: Sequence[float], share: float) -> tuple[float, ...]:
    return tuple(_number(a, b, share) for a, b in zip(one, other, strict=True))


def mixture(one: Sequence[str], other: Sequence[str], share: float) -> tuple[str, ...]:
    """Return the names of both, those of the first one first, with the weights between theirs."""
    before, after = dict(_told_apart(one)), dict(_told_apart(other))
    names = dict.fromkeys((*before, *after))
    mixed = {n: _number(before.get(n, 0.0), after.get(n, 0.0), share) for n in names}
    return tuple(f"{name}={weight!r}" for (name, _), weight in mixed.items())


def _told_apart(texts: Sequence[str]) -> Iterator[tuple[tuple[str, int], float]]:
    """Yield each name with how often it was given before, and its weight."""
    seen = Counter[str]()
    for name, weight in map(weighted, texts):
        yield (name, seen[name]), weight
        seen[name] += 1


def blend_of(field: FieldInfo) -> Blend | None:
    """Return how a marked parameter changes; None if nothing is between two of its values."""
    annotation = _without_none(field.annotation)
    if annotation in (int, float):
        return _whole if annotation is int else _number
    items = [_without_none(item) for item in get_args(annotation)]
    if get_origin(annotation) is not tuple or not items:
        return None
    if items[1:] == [...]:
        return mixture if items[0] is str else None
    return numbers if all(item in (int, float) for item in items) else None


def count_of_numbers(field: FieldInfo) -> int:
    """Return of how many numbers a parameter is, which is a tuple of them."""
    return len(get_args(_without_none(field.annotation)))


def _without_none(annotation: Any) -> Any:
    """Return X for X | None and for Annotated[X, ...]."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        others = [each for each in get_args(annotation) if each is not NoneType]
        return _without_none(others[0]) if len(others) == 1 else annotation
    return annotation


def changing(params: type[TaskParams]) -> dict[str, FieldInfo]:
    """Return the parameters that may change over time, by name."""
    fields = params.model_fields.items()
    return {name: field for name, field in fields if _CHANGES in field.metadata}


def over_time_fault(task: type[Task]) -> str:
    """Return why a task's parameters cannot change over time as they say, or an empty string."""
    marked, is_timed = changing(task.Params), issubclass(task.Params, TimedParams)
    if is_timed != bool(marked):
        which = f"parameter {next(iter(marked))!r} is" if marked else "no parameter is"
        base = "not a" if marked else "a"
        return f"task {task.name!r}: {which} marked OverTime, and Params is {base} TimedParams; use both or none"
    for name, field in marked.items():
        if blend_of(field) is None:
            return (
                f"task {task.name!r}: parameter {name!r} cannot change over time; only numbers, tuples of "
                "numbers, and tuple[str, ...] of NAME=WEIGHT can"
            )
    return ""
