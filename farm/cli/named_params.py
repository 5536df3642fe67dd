"""The option --preset: named sets of parameters."""

from collections.abc import Mapping
from typing import Any

import click

from farm.errors import UnknownName
from farm.host.presets import presets_of
from farm.host.task import Effect, Task

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
    """Return the parameters of a preset. Raises UnknownName, and BadInput as presets_of does."""
    known = presets_of(task)
    if name not in known:
        raise UnknownName("preset", name, known)
    return known[name]
