"""Options of a task's command, generated from the task's parameters.

Options pass text through unchanged. The parameters' model converts and validates it, so that every front end
has the same rules and messages.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import annotated_types as bounds
import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from farm.errors import BadParameter, UserError
from farm.host.flags import flag_of, negated
from farm.host.over_time import TimedParams, changing
from farm.host.task import Task, TaskParams
from farm.host.vetting import EFFECT_FLAGS, FLAGS, validate_params

PREFIX: Final = "param_"
"""Prevents clashes between the names of parameters and of the command's own options."""

METAVARS: Final[dict[object, str]] = {int: "INTEGER", float: "NUMBER", str: "TEXT"}


@dataclass(frozen=True)
class Shape:
    """How a parameter is written on the command line.

    count: words per value. choices: allowed words and the values they stand for.
    """

    metavar: str
    count: int = 1
    is_repeated: bool = False
    choices: Mapping[str, object] | None = None
    is_json: bool = False


def options_of(params: type[TaskParams]) -> list[click.Option]:
    """Return an option for each parameter, in order of declaration."""
    return [
        _option(name, field, _notes(params, name)) for name, field in params.model_fields.items()
    ]


def values_of(params: type[TaskParams], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters that were set, ready for validation."""
    values = {}
    for name, field in params.model_fields.items():
        value = options.get(PREFIX + name)
        if value is not None and value != ():
            values[name] = _plain(value, shape_of(field.annotation))
    return values


def with_values_left_out(
    task: type[Task], words: Sequence[str], *, is_remote: bool = False
) -> list[str]:
    """Return a command's words, with the value of each flag that may omit it and does.

    Such a flag takes the next word if the task accepts it, or if it can be no input: ``--fast photo.jpg``
    names an input. is_remote: inputs are those of a farm, where a plain word may be a folder.
    """
    omittable = {
        flag_of(name, field): (name, value)
        for name, field in task.Params.model_fields.items()
        if (value := _alone(field))
    }
    given = [*words]
    for place, (word, following) in enumerate(pairwise((*words, "--"))):
        if word not in omittable or following.startswith("-"):
            continue
        name, value = omittable[word]
        is_word = not is_remote and _is_no_path(following)
        if not is_word and not _accepts(task, name, following):
            given[place] = f"{word}={value}"
    return given


def _is_no_path(word: str) -> bool:
    """Return whether a word is empty, or is plain and names nothing here."""
    return not word or (word.isidentifier() and not Path(word).exists())


def _accepts(task: type[Task], name: str, word: str) -> bool:
    try:
        task(validate_params(task, {name: word})).files()
    except UserError:
        return False
    return True


def describe_refusal(params: type[TaskParams], error: BadParameter) -> str:
    """Return the message of a refusal with flags in place of parameter names.

    In the reason, names in backticks are parameters.
    """

    def flag(name: str) -> str:
        field, common = params.model_fields.get(name), f"--{name}"
        if field:
            return flag_of(name, field)
        return common if common in FLAGS | EFFECT_FLAGS else ""

    reason = re.sub(r"`(\w+)`", lambda match: flag(match[1]) or match[0], error.reason)
    return f"{flag(error.name) or error.name}: {reason}"


def _notes(params: type[TaskParams], name: str) -> str:
    """Return what else the help says of a parameter."""
    if name != "at" or not issubclass(params, TimedParams):
        return ""
    names = (flag_of(key, field).removeprefix("--") for key, field in changing(params).items())
    return f" These can change: {', '.join(names)}."


def _option(name: str, field: FieldInfo, notes: str) -> click.Option:
    flag = flag_of(name, field)
    shared: dict[str, Any] = {
        "help": _help(field) + notes,
        "default": None,
        "required": field.is_required(),
        "show_default": False,
    }
    annotation = _without_none(field.annotation)
    if annotation is bool:
        return click.Option([f"{flag}/{negated(flag)}", PREFIX + name], **shared)
    shape = shape_of(annotation)
    kind = click.STRING if shape.choices is None else click.Choice(list(shape.choices))
    return click.Option(
        [flag, PREFIX + name],
        type=kind,
        multiple=shape.is_repeated,
        nargs=shape.count,
        metavar=None if shape.choices else shape.metavar,
        **_optional_value(field),
        **shared,
    )


def _optional_value(field: FieldInfo) -> dict[str, Any]:
    """Let a flag omit its value if the field has json_schema_extra={"alone": "value"}."""
    value = _alone(field)
    return {"is_flag": False, "flag_value": value} if value else {}


def _alone(field: FieldInfo) -> object:
    extra = field.json_schema_extra
    return extra.get("alone") if isinstance(extra, dict) else None


def shape_of(annotation: Any) -> Shape:
    """Return how a parameter with this annotation is written."""
    annotation = _without_none(annotation)
    choices = _choices(annotation)
    if choices is not None:
        return Shape("", choices=choices)
    if annotation in METAVARS:
        return Shape(METAVARS[annotation])
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, set, frozenset, Sequence) or arguments[1:] == (...,):
        return _repeated(shape_of(arguments[0]))
    if origin is tuple and arguments:
        return _fixed([shape_of(argument) for argument in arguments])
    if isinstance(annotation, type) and not issubclass(annotation, Mapping | BaseModel):
        return Shape(annotation.__name__.upper())
    return Shape("JSON", is_json=True)


def _choices(annotation: Any) -> dict[str, object] | None:
    """Return the words of a Literal or an Enum and the value that each stands for."""
    if get_origin(annotation) is Literal:
        return {str(word): word for word in get_args(annotation)}
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return {str(member.value): member.value for member in annotation}
    return None


def _repeated(item: Shape) -> Shape:
    if item.is_repeated:
        return Shape("JSON", is_json=True)
    return Shape(item.metavar, item.count, is_repeated=True, choices=item.choices)


def _fixed(items: Sequence[Shape]) -> Shape:
    if any(item.is_repeated or item.choices or item.count > 1 for item in items):
        return Shape("JSON", is_json=True)
    return Shape(" ".join(item.metavar for item in items), count=len(items))


def _without_none(annotation: Any) -> Any:
    """Return X for X | None and for Annotated[X, ...]."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        others = [argument for argument in get_args(annotation) if argument is not NoneType]
        if len(others) == 1:
            return _without_none(others[0])
    return annotation


def _plain(value: Any, shape: Shape) -> Any:
    if shape.is_repeated and not shape.choices:
        return list(value)
    if shape.choices is not None:
        words = shape.choices
        return [words[word] for word in value] if shape.is_repeated else words[value]
    if shape.is_json:
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _help(field: FieldInfo) -> str:
    notes = "; ".join(note for note in (_range(field.metadata), _default(field)) if note)
    return f"{field.description or ''}{f'  [{notes}]' if notes else ''}".strip()


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""  # click adds [required]
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is None or default in ((), []) else f"default: {_written(default)}"


def _range(metadata: Sequence[object]) -> str:
    """Return the field's bounds as "1 <= x < 8", or an empty string."""
    low = high = ""
    for bound in metadata:
        match bound:
            case bounds.Ge():
                low = f"{bound.ge} <= "
            case bounds.Gt():
                low = f"{bound.gt} < "
            case bounds.Le():
                high = f" <= {bound.le}"
            case bounds.Lt():
                high = f" < {bound.lt}"
    return f"{low}x{high}" if low or high else ""


def _written(default: object) -> str:
    """Return a default as a user would type it."""
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, Enum):
        return str(default.value)
    if isinstance(default, list | tuple):
        return " ".join(map(_written, default))
    return str(default)
