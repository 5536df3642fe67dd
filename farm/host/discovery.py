"""Finds plugins: the entry points of installed distributions, and the files of a folder.

Imports none of them. A distribution that is damaged is listed as failed, and all others are found.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from importlib.metadata import Distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import Final, Literal

from farm.errors import PluginError, UserError

GROUP: Final = "farm.plugins"
DISTRIBUTION: Final = "neural-render-farm"

State = Literal["loaded", "failed", "blocked", "hidden"]


@dataclass(frozen=True)
class Plugin:
    """A plugin and its state, as ``farm plugins`` lists it.

    source: its distribution, or its file in the plugins folder. tasks: names of the tasks it
    provides. reason, traceback: why it was not loaded. A hidden one is never imported, since another
    distribution of its name comes first on sys.path.
    """

    name: str
    version: str
    source: str
    tasks: tuple[str, ...] = ()
    state: State = "loaded"
    reason: str = ""
    traceback: str = field(default="", repr=False)

    @property
    def edition(self) -> str:
        """Its version; of a file in the plugins folder, the beginning of its SHA-256."""
        path = Path(self.source)
        if self.version or not path.is_file():
            return self.version or "?"
        return sha256(path.read_bytes()).hexdigest()[:12]


@dataclass(frozen=True)
class Candidate:
    """A plugin that was found but not imported yet.

    load: imports it. Raises PluginError if its distribution is damaged.
    """

    plugin: Plugin
    load: Callable[[], object]


def installed() -> Iterator[Candidate]:
    """Yield the plugins of installed distributions: the farm's own first, damaged ones last."""

    def rank(candidate: Candidate) -> tuple[bool, bool, str, str]:
        plugin = candidate.plugin
        is_damaged = os.sep in plugin.source  # a folder instead of a name
        return plugin.source != DISTRIBUTION, is_damaged, plugin.source, plugin.name

    found = [
        candidate
        for distribution, fault, is_hidden in _in_order()
        for candidate in _candidates(distribution, fault, is_hidden=is_hidden)
    ]
    yield from sorted(found, key=rank)


def _in_order() -> Iterator[tuple[Distribution, str, bool]]:
    """Yield distributions as imports find them: of each name, the first on sys.path hides the others.

    Each comes with what is wrong with it, such as another one of its name in the same folder, and
    with whether it is hidden.
    """
    found = [(distribution, _folder(distribution)) for distribution in distributions()]
    order = list(dict.fromkeys(folder.parent for _, folder in found))
    found.sort(key=lambda item: (order.index(item[1].parent), item[1].name))
    first: dict[str, Path] = {}
    for distribution, folder in found:
        name = folder.name.partition("-")[0].lower()
        other = first.setdefault(name, folder)
        if other == folder:
            yield distribution, "", False
        elif other.parent == folder.parent:
            fault = f"it is also installed as {other}; uninstall both and install it again"
            yield distribution, fault, False
        elif not other.samefile(folder):
            yield distribution, f"{other} comes first on sys.path; uninstall one", True


def _folder(distribution: Distribution) -> Path:
    """Return the folder of the distribution's metadata, which has no public name."""
    return Path(str(getattr(distribution, "_path", distribution.locate_file("unknown"))))


def _candidates(distribution: Distribution, fault: str, *, is_hidden: bool) -> list[Candidate]:
    """Return the distribution's plugins, failed ones if it is damaged.

    fault: why it is not loaded. is_hidden: imports do not find it.
    """
    folder = _folder(distribution)
    try:
        if f"[{GROUP}]" not in (distribution.read_text("entry_points.txt") or ""):
            return []
        points = list(distribution.entry_points.select(group=GROUP))
    except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
        name = folder.name.partition("-")[0]
        reason = f"its entry_points.txt cannot be read ({type(error).__name__}); install it again"
        return [_damaged(name, "", folder, reason)]
    try:
        name, version = str(distribution.metadata["Name"] or ""), str(distribution.version or "")
    except Exception:  # noqa: BLE001 - a damaged file may raise anything
        name = version = ""
    if not (name and version):
        fault = fault or "its METADATA is missing or damaged; install it again"
    if fault:
        damaged = [_damaged(point.name, version, folder, fault) for point in points]
        return [_hidden(each, fault) for each in damaged] if is_hidden else damaged
    return [Candidate(Plugin(point.name, version, name), point.load) for point in points]


def _damaged(name: str, version: str, folder: Path, reason: str) -> Candidate:
    def load() -> object:
        raise PluginError(name, reason)

    return Candidate(Plugin(name, version, str(folder)), load)


def _hidden(candidate: Candidate, reason: str) -> Candidate:
    return replace(candidate, plugin=replace(candidate.plugin, state="hidden", reason=reason))


def files_in(folder: Path | None) -> Iterator[Candidate]:
    """Yield the Python files of a folder, but none that starts with an underscore, and no tests.

    Raises UserError if the folder does not exist.
    """
    if folder is None:
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of plugins")
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith(("_", "test_")) and path.name != "conftest.py":
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
