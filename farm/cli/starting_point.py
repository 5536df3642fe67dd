"""Where a job's parameters start from: a finished file or a preset. Flags that are given override it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from click.core import ParameterSource

from farm import storage
from farm.cli.named_params import preset_params
from farm.cli.options import values_of
from farm.cli.recorded import record_of, recorded_files, recorded_params
from farm.cli.streams import echo
from farm.errors import BadInput, BadParameter, UserError
from farm.host.over_time import TimedParams
from farm.host.task import Task
from farm.host.vetting import validate_params
from farm.model.texts import texts_in

__all__ = ["Liked", "params_of", "with_defaults"]

PLAN: Final = ("seed", "tile", "precision", "size")
"""What a finished file decides about a plan; threads are this machine's."""


@dataclass(frozen=True)
class Liked:
    """A finished file to start from, and the record in it."""

    file: str
    record: Mapping[str, Any]


def params_of(task: type[Task], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a command, ready for validation. values: of its options, with defaults."""
    given = values_of(task.Params, values)
    if values.get("preset") is not None:
        return dict(preset_params(task, values["preset"], given))
    if not values.get("like"):
        return given
    liked = _liked(task, values["like"], given) | given
    is_timed = issubclass(task.Params, TimedParams) and "at" not in given and liked.get("at")
    if is_timed and _are_stills(task, values):
        note = "its --at is not taken: it only applies to films, and every input is a still"
        echo(f"{values['like'].file}: {note}", err=True)
        del liked["at"]
    return liked


def _are_stills(task: type[Task], values: Mapping[str, Any]) -> bool:
    """Return whether a command makes no film. The files of a farm are known by their names alone."""
    from farm.media import is_film, is_sequence
    from farm.media.film import may_be_film
    from farm.media.still_formats import is_readable
    from farm.planning.film_needs import is_endless
    from farm.planning.inputs import list_inputs
    from farm.planning.outputs import is_film_target

    output = values["output"]
    if is_endless(task) or is_film_target(output) or is_sequence(output):
        return False
    if values.get("server"):
        return all(is_readable(name) and not may_be_film(name) for name in values["inputs"])
    return not any(is_film(source.url) for source in list_inputs(values["inputs"]))


def with_defaults(context: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a command's options, with those of --like in place of defaults.

    That of --like itself becomes Liked.
    """
    if not values.get("like"):
        return values
    if values["preset"] is not None:
        raise UserError("--like and --preset exclude each other; leave one of them out")
    liked = Liked(values["like"], record_of(values["like"]))
    plan = liked.record.get("plan", {})
    is_default = {
        name: context.get_parameter_source(name) is ParameterSource.DEFAULT for name in PLAN
    }
    kept = {name: plan[name] for name in PLAN if is_default[name] and name in plan}
    return values | kept | {"like": liked}


def _liked(task: type[Task], liked: Liked, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a finished file that are not given."""
    file, record = liked.file, liked.record
    if record.get("task") != task.name:
        other = record.get("task")
        raise UserError(f"{file} was rendered by `farm {other}`; use that command with --like")
    kept = {key: value for key, value in recorded_params(record).items() if key not in given}
    for key in kept:
        if digests := list(recorded_files(record["params"][key])):
            kept[key] = _found(task, file, key, {**kept, **given}, digests)
    return kept


def _found(
    task: type[Task],
    file: str,
    key: str,
    params: Mapping[str, Any],
    digests: Sequence[tuple[str, str]],
) -> Any:
    """Return a parameter that names files, by where they are. Raises BadParameter if they are not."""
    wanted = [digest for _, digest in digests]
    for folder in ("", storage.parent(storage.absolute(file))):
        there = _inside(folder, params[key]) if folder else params[key]
        if sorted(_digests(task, key, {**params, key: there})) == sorted(wanted):
            return there
    names = ", ".join(name for name, _ in digests)
    reason = f"{names} of {file} is neither here nor beside it with the same content; give it"
    raise BadParameter(key, reason)


def _inside(folder: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_inside(folder, item) for item in value]
    return storage.join(folder, value) if isinstance(value, str) else value


def _digests(task: type[Task], key: str, params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the SHA-256 of each file that a parameter names and that is there."""
    try:
        valid = validate_params(task, params)
        named = set(texts_in(valid.model_dump(mode="json")[key]))
        for text, path in task(valid).files().items():
            if text in named:
                yield storage.sha256_file(storage.input_path(path))
    except (BadInput, BadParameter, OSError):
        return
