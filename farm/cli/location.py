"""Words of a command that name a file, a folder, a URL or an address, and must not be empty.

A shell makes an empty word of a variable that is not set. As a path it would name the current folder, and as an
address whatever the environment names.
"""

from pathlib import Path
from typing import Any, Final

import click

from farm.errors import UserError

__all__ = ["FARM_URL", "RAY_ADDRESS", "LocalPath", "Location", "check_named"]

_PLACE: Final = "a path or URL, or . for the current folder"
FARM_URL: Final = "the URL of a farm, such as http://127.0.0.1:8420"
RAY_ADDRESS: Final = "the address of a Ray cluster, such as 10.0.0.1:6379"


class Location(click.ParamType[str]):
    """A path or URL, or something else that must not be empty. allowed: what to give."""

    name = "text"

    def __init__(self, allowed: str = _PLACE) -> None:
        self._allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if param:
            check_named(value, _label(param, ctx), self._allowed)
        return str(value)


class LocalPath(click.Path):
    """A path of this machine, which may be one that is not there yet."""

    def __init__(self, *, is_folder: bool) -> None:
        super().__init__(file_okay=not is_folder, dir_okay=is_folder, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if param:
            check_named(value, _label(param, ctx), "a path of this machine")
        return super().convert(value, param, ctx)


def check_named(word: str, label: str, allowed: str = _PLACE) -> None:
    """Raise UserError for a word that names nothing. label: of the argument or the flag that it is for."""
    if not word:
        raise UserError(f"{label} is empty; give {allowed}")


def _label(param: click.Parameter, ctx: click.Context | None) -> str:
    """Return the name of an argument, such as INPUT, or the first flag of an option."""
    if isinstance(param, click.Option):
        return param.opts[-1]
    assert ctx
    return param.make_metavar(ctx).rstrip(".")
