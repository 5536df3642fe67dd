"""Words of a command that name a file, a folder or a URL."""

from typing import Any

import click

from farm.errors import UserError

__all__ = ["Location", "check_named"]


class Location(click.ParamType[str]):
    """A path or a URL. An empty word, which a shell makes of a variable that is not set, is refused.

    As a path it would name the current folder.
    """

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if param:
            check_named(value, _label(param, ctx))
        return str(value)


def check_named(word: str, label: str) -> None:
    """Raise UserError for a word that names nothing. label: of the argument or the flag that it is for."""
    if not word:
        raise UserError(f"{label} is empty; give a path or URL, or . for the current folder")


def _label(param: click.Parameter, ctx: click.Context | None) -> str:
    """Return the name of an argument, such as INPUT, or the first flag of an option."""
    if isinstance(param, click.Option):
        return param.opts[-1]
    assert ctx
    return param.make_metavar(ctx).rstrip(".")
