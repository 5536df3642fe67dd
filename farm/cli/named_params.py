"""The option --preset: named sets of parameters."""

from collections.abc import Mapping
from typing import Any

import click

from farm.cli.options import describe_refusal
from farm.errors import UnknownName, UserError
from farm.host.presets import missing_file, own_presets, preset_fault, presets_of
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


def preset_params(task: type[Task], name: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters of a preset, and those that are given in place of some.

    Raises UnknownName, UserError for a parameter of the preset that the task refuses, and BadInput as
    presets_of does.
    """
    known = presets_of(task)
    if name not in known:
        missing = missing_file()
        hint = f"FARM_PRESETS names {missing}, which is no file" if missing else ""
        raise UnknownName("preset", name, known, hint)
    if fault := preset_fault(task, known[name], given):
        is_own = name in own_presets().get(task.name, {})
        where = f" in {Settings().presets_path}" if is_own else ""
        raise UserError(f"preset {name!r}{where}: {describe_refusal(task.Params, fault)}")
    return {**known[name], **given}
