"""Roots: the only folders and URLs that a service reads and writes for those who ask.

Over HTTP a location is ``NAME/relative/path``. It can not leave the root: neither by its parts, nor
by a link. A location that is in no root is shown as ``-/name`` and cannot be asked for.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from farm import storage
from farm.errors import BadParameter, NotFound, OutsideRoots
from farm.media.film import is_film_name
from farm.media.still_formats import is_readable
from farm.model.sent_files import without_digests

__all__ = ["NAME", "Place", "Roots"]

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_CONTROL: Final = re.compile("[\0-\x1f\x7f\ud800-\udfff]")
_FOLDERS: Final = re.compile(r"(?<![\w./:-])/(?!api/)(?:[^\s/'\",;:]+/)+")
"""The folders of an absolute path in a text."""

_LONGEST: Final = 2000
_ELSEWHERE: Final = "-"


@dataclass(frozen=True)
class Place:
    """Something in a folder of a root. kind: folder, picture, film or other. size: in bytes."""

    path: str
    kind: str
    size: int


class Roots:
    """Roots by name. Each is an absolute path or a URL."""

    def __init__(self, locations: Mapping[str, str]) -> None:
        self._locations = {name: _base(location) for name, location in locations.items()}

    @classmethod
    def parse(cls, given: Iterable[str]) -> Self:
        """Return the roots of texts NAME=PATH or NAME=URL. Raises BadParameter."""
        locations: dict[str, str] = {}
        for text in given:
            name, is_named, location = text.partition("=")
            if not (is_named and location and NAME.fullmatch(name)):
                allowed = "NAME=PATH or NAME=URL, with a name of small letters, digits, . _ and -"
                raise BadParameter("root", f"{text!r} is not {allowed}")
            if name in locations:
                raise BadParameter("root", f"{name} is given twice; choose another name for one")
            if not storage.is_remote(location) and not Path(location).expanduser().is_dir():
                raise BadParameter("root", f"{location} is no folder; create it first")
            locations[name] = location
        return cls(locations)

    @property
    def names(self) -> list[str]:
        return sorted(self._locations)

    def has(self, path: str) -> bool:
        """Return whether a text begins with the name of a root."""
        return path.partition("/")[0] in self._locations

    def resolve(self, path: str) -> str:
        """Return the absolute path or URL of ROOT/path. Raises OutsideRoots.

        A slash at the end stays, because it tells a folder from a file.
        """
        name, _, rest = path.partition("/")
        if name not in self._locations:
            raise OutsideRoots(path[:80], f"no root has this name; roots: {', '.join(self.names)}")
        if fault := _fault(rest):
            raise OutsideRoots(path[:80], fault)
        base, inner = self._locations[name], rest.rstrip("/")
        location = storage.join(base, inner) if inner else base
        if not storage.is_remote(base):
            self._check_links(path, base, location)
        return f"{location}/" if rest.endswith("/") else location

    def _check_links(self, path: str, base: str, location: str) -> None:
        if not Path(os.path.realpath(location)).is_relative_to(os.path.realpath(base)):
            raise OutsideRoots(path[:80], "a link leads out of the root")

    def check_real(self, locations: Iterable[str]) -> None:
        """Raise OutsideRoots for a file that a link leads to, out of all roots."""
        bases = [os.path.realpath(b) for b in self._locations.values() if not storage.is_remote(b)]
        folders: dict[str, bool] = {}
        for location in locations:
            if storage.is_remote(location):
                continue
            folder = os.path.dirname(location)  # noqa: PTH120 - fast, for many files
            is_link = os.path.islink(location)  # noqa: PTH114
            if folder not in folders:
                folders[folder] = _is_below(os.path.realpath(folder), bases)
            if not folders[folder] or (
                is_link and not _is_below(os.path.realpath(location), bases)
            ):
                raise OutsideRoots(self.shown(location), "a link leads out of the root")

    def contains(self, location: str) -> bool:
        """Return whether an absolute path or URL is in a root, links followed."""
        if storage.is_remote(location):
            bases = [b for b in self._locations.values() if storage.is_remote(b)]
            return any(location == base or location.startswith(f"{base}/") for base in bases)
        bases = [os.path.realpath(b) for b in self._locations.values() if not storage.is_remote(b)]
        return _is_below(os.path.realpath(location), bases)

    def shown(self, location: str) -> str:
        """Return ROOT/path for an absolute path or URL; -/name if it is in no root."""
        best = ""
        for name, base in self._locations.items():
            if location.rstrip("/") == base or location.startswith(f"{base.rstrip('/')}/"):
                rest = location[len(base) :].lstrip("/")
                found = f"{name}/{rest}" if rest else name
                best = found if not best or len(found) < len(best) else best
        return best or f"{_ELSEWHERE}/{storage.name(location)}"

    def hidden(self, text: str) -> str:
        """Return a message with ROOT/path or a bare name in place of each path of this machine.

        What clients have sent has its bare name, without the digest.
        """
        for name, base in sorted(self._locations.items(), key=lambda item: -len(item[1])):
            text = text.replace(f"{base.rstrip('/')}/", f"{name}/")
        return _FOLDERS.sub("", without_digests(text))

    def listed(self, under: str) -> Iterator[Place]:
        """Yield what is directly in a folder of a root, in no order. Raises OutsideRoots, NotFound."""
        folder = self.resolve(under)
        if not storage.is_folder(folder):
            raise NotFound(
                f"{under[:80]!r} is no folder of this farm; look what is in the folder above it"
            )
        for entry in storage.entries(folder):
            name = storage.name(entry.url)
            if name.startswith(".") or _CONTROL.search(name):
                continue
            kind = "folder" if entry.is_folder else _kind(name)
            yield Place(f"{under.rstrip('/')}/{name}", kind, entry.size)


def _base(location: str) -> str:
    if storage.is_remote(location):
        return storage.absolute(location)
    return storage.absolute(Path(location).expanduser())


def _kind(name: str) -> str:
    """Return what a file is, by its name alone."""
    if storage.suffix(name).lower() != ".gif" and is_film_name(name):
        return "film"
    return "picture" if is_readable(name) else "other"


def _fault(rest: str) -> str:
    """Return why a path below a root is refused; empty if it is not."""
    if len(rest) > _LONGEST:
        return f"it has more than {_LONGEST:,} characters"
    if _CONTROL.search(rest):
        return "it contains a control character"
    parts = rest.removesuffix("/").split("/") if rest else []
    if any(not part or part.startswith(".") for part in parts):
        return "a part of it is empty or begins with a dot"
    return ""


def _is_below(real: str, bases: Iterable[str]) -> bool:
    return any(Path(real).is_relative_to(base) for base in bases)
