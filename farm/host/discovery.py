"""Finds plugins: the entry points of installed distributions, and the files of a folder.

Imports none of them.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Final, Literal

from farm.errors import UserError

GROUP: Final = "farm.plugins"
DISTRIBUTION: Final = "neural-render-farm"

State = Literal["loaded", "failed", "blocked"]


@dataclass(frozen=True)
class Plugin:
    """A plugin and its state, as ``farm plugins`` lists it.

    source: its distribution, or its file in the plugins folder. tasks: names of the tasks it
    provides. reason, traceback: why it was not loaded.
    """

    name: str
    version: str
    source: str
    tasks: tuple[str, ...] = ()
    state: State = "loaded"
    reason: str = ""
    traceback: str = field(default="", repr=False)


@dataclass(frozen=True)
class Candidate:
    """A plugin that was found but not imported yet. load: imports it."""

    plugin: Plugin
    load: Callable[[], object]


def installed() -> Iterator[Candidate]:
    """Yield the plugins of installed distributions, the farm's own first."""

    def rank(point: EntryPoint) -> tuple[bool, str, str]:
        source = point.dist.name if point.dist else ""
        return source != DISTRIBUTION, source, point.name

    for point in sorted(entry_points(group=GROUP), key=rank):
        source, version = (point.dist.name, point.dist.version) if point.dist else ("?", "")
        yield Candidate(Plugin(point.name, version, source), point.load)


def files_in(folder: Path | None) -> Iterator[Candidate]:
    """Yield the Python files of a folder, except those whose name starts with an underscore.

    Raises UserError if the folder does not exist.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise UserError(f"--plugins-dir {folder}: no such folder")
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            yield Candidate(Plugin(path.stem, "", str(path)), partial(_import_file, path))


def _import_file(path: Path) -> ModuleType:
    name = f"farm_plugins_dir_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"cannot import {os.fspath(path)}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
