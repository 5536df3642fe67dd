"""Named sets of parameters: those of a task, and the user's own in a TOML file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from farm.errors import BadInput, UnknownName
from farm.host.task import Effect, Task
from farm.settings import Settings

__all__ = ["preset_option", "preset_params"]


def preset_option(task: type[Effect]) -> click.Option:
    """Return the option --preset of an effect's command."""
    names = f" With the farm come {', '.join(task.presets)}." if task.presets else ""
    return click.Option(
        ["--preset"],
        metavar="NAME",
        help=f"Start from a named set of parameters; flags override them.{names} Your own are in the "
        "file that FARM_PRESETS names.",
    )


def preset_params(task: type[Task], name: str) -> Mapping[str, Any]:
    """Return the parameters of a preset; the user's own comes before that of a task.

    Raises UnknownName, and BadInput for a file that is no table of presets.
    """
    known = dict(task.presets if issubclass(task, Effect) else {}) | _own(task.name)
    if name not in known:
        raise UnknownName("preset", name, known)
    return known[name]


def _own(task: str) -> dict[str, Mapping[str, Any]]:
    path = Settings().presets_path
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadInput(str(path), f"cannot be read as presets: {error}") from error
    return _tables(path, _tables(path, content).get(task, {}))


def _tables(path: Path, content: object) -> dict[str, Mapping[str, Any]]:
    if isinstance(content, dict) and all(isinstance(one, dict) for one in content.values()):
        return content
    raise BadInput(str(path), "a preset is a table such as [dream.mine], with parameters in it")
