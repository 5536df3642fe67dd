"""The registry of one run of the command, loaded when the first command asks for it."""

from pathlib import Path

import click

from farm.host.registry import Registry
from farm.settings import Settings


def plugins_dir_of(context: click.Context) -> Path | None:
    """Return the folder of --plugins-dir, or else of the environment."""
    given: Path | None = context.find_root().params.get("plugins_dir")
    return given or Settings().plugins_dir


def registry_of(context: click.Context) -> Registry:
    """Return the registry, loading it at most once."""
    root = context.find_root()
    if not isinstance(root.obj, Registry):
        root.obj = Registry.load(plugins_dir_of(context))
    return root.obj
