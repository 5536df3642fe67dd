"""The command line that runs a job again: the inverse of a task's command."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from farm.cli.options import shape_of
from farm.cli.text import one_word
from farm.host.flags import flag_of, negated
from farm.host.task import Run, Task
from farm.model.job import AUTO_TILE, FilmOptions, JobSpec, Plan


def command_line(
    task: type[Task],
    spec: JobSpec,
    command: Sequence[str] = ("farm",),
    more: Sequence[str] = (),
) -> str:
    """Return the words that make this spec again, to be copied from a terminal.

    Options with their default value are left out. command: the words before the task's name. more:
    further options.
    """
    options = [*_params(task, spec.params), *_common(spec)]
    if not issubclass(task, Run):
        options += _of_effects(spec)
    words = [*command, task.name, *options, *more, f"--output={spec.output}"]
    if any(text.startswith("-") for text in spec.inputs):
        words.append("--")
    return " ".join(map(one_word, [*words, *spec.inputs]))


def _common(spec: JobSpec) -> Iterator[str]:
    """Yield the options of every task's command."""
    yield from _changed(spec.plan.model_dump(mode="json", exclude={"tile"}), Plan)
    yield from _changed({"priority": spec.priority}, JobSpec)
    if spec.keeps_going:
        yield "--keep-going"


def _of_effects(spec: JobSpec) -> Iterator[str]:
    """Yield the further options of an effect's command."""
    if spec.overwrite:
        yield "--overwrite"
    tile = spec.plan.tile
    if tile != AUTO_TILE:
        yield f"--tile={tile or 'none'}"
    yield from _changed({"frames": spec.frames}, JobSpec)
    yield from _changed(
        spec.film.model_dump(mode="json", exclude={"is_strict", "is_loop"}), FilmOptions
    )
    if spec.film.is_strict:
        yield "--strict"
    if spec.film.is_loop:
        yield "--loop"


def _changed(values: Mapping[str, object], model: type[BaseModel]) -> Iterator[str]:
    """Yield an option for each value that is not the default of its field."""
    for name, value in values.items():
        if value is not None and value != model.model_fields[name].default:
            yield f"--{name}={value}"


def _params(task: type[Task], values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the options of a task's parameters. values: as JSON."""
    usual = task.Params.model_construct().model_dump(mode="json", warnings=False)
    for name, field in task.Params.model_fields.items():
        value = values.get(name)
        if value is not None and value != usual.get(name):
            yield from _option(name, field, value)


def _option(name: str, field: FieldInfo, value: Any) -> Iterator[str]:
    flag, shape = flag_of(name, field), shape_of(field.annotation)
    if isinstance(value, bool):
        yield flag if value else negated(flag)
    elif shape.is_json:
        yield f"{flag}={json.dumps(value)}"
    else:
        for item in value if shape.is_repeated else [value]:
            parts = item if shape.count > 1 else [item]
            if shape.count > 1:
                yield from (flag, *map(str, parts))
            else:
                yield f"{flag}={item}"
