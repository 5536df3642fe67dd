"""The plugin registry of a command, loaded when first needed."""

from pathlib import Path
from typing import Final

import click

from farm.cli.streams import echo
from farm.cli.text import one_word
from farm.errors import UserError
from farm.host.registry import Registry
from farm.settings import Settings

_SAID: Final = "farm.broken"
"""Key in a context's meta: what is broken has been said."""


def plugins_dir_of(context: click.Context) -> Path | None:
    """Return the folder from --plugins-dir, or else from FARM_PLUGINS_DIR. Raises UserError if it is none."""
    option: str | None = context.find_root().params.get("plugins_dir")
    folder = Path(option) if option else Settings().plugins_dir
    if folder and not folder.is_dir():
        name = "--plugins-dir" if option else "FARM_PLUGINS_DIR"
        raise UserError(f"{name} {folder}: no such folder; check the name")
    return folder


def shows_traceback(context: click.Context) -> bool:
    """Return whether --traceback was given."""
    return bool(context.find_root().params.get("traceback"))


def registry_of(context: click.Context) -> Registry:
    """Return the registry; it is loaded once per command."""
    root = context.find_root()
    if not isinstance(root.obj, Registry):
        root.obj = Registry.load(plugins_dir_of(context), _listing(context))
    return root.obj


def _listing(context: click.Context) -> str:
    """Return the command that lists the plugins of this one."""
    option = context.find_root().params.get("plugins_dir")
    return f"farm --plugins-dir {one_word(option)} plugins" if option else "farm plugins"


def say_what_is_broken(context: click.Context) -> None:
    """Print a line to standard error for each plugin that did not load, once per command."""
    if context.meta.get(_SAID):
        return
    context.meta[_SAID] = True
    registry = registry_of(context)
    for plugin in registry.broken:
        hint = f"see `{registry.listing}`"
        echo(f"not loaded: plugin {plugin.name}: {plugin.reason}; {hint}", err=True)
