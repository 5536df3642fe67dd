"""Patterns of locations, with the wildcards of the glob module."""

import glob as local_glob
import os
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from farm.storage.door import entries, files_below
from farm.storage.scheme import Entry
from farm.storage.urls import absolute, is_remote

__all__ = ["glob"]


def glob(pattern: str) -> list[str]:
    """Return the files that match a pattern, in order; ``**`` stands for any number of folders.

    Hidden files and folders match only what begins with a dot. Raises BadInput, StorageFailed.
    """
    if not is_remote(pattern):
        matches = local_glob.glob(pattern, recursive=True)  # noqa: PTH207 - strings
        return sorted(match for match in matches if os.path.isfile(match))  # noqa: PTH113 - strings
    parts = pattern.split("/")
    depth = next((i for i, part in enumerate(parts) if re.search(r"[*?\[]", part)), len(parts) - 1)
    folder = "/".join(parts[: max(depth, 3)])
    listed = files_below(folder) if "**" in parts else _files_at(folder, parts)
    return sorted(file.url for file in listed if _matches(file.url.split("/"), parts))


def _files_at(folder: str, parts: Sequence[str]) -> Iterator[Entry]:
    """Yield files at the depth of a pattern, without opening folders that do not match it."""
    for entry in entries(folder):
        inner = absolute(entry.url)
        names = inner.split("/")
        if not entry.is_folder:
            yield entry
        elif len(names) < len(parts) and _matches(names, parts[: len(names)]):
            yield from _files_at(inner, parts)


def _matches(names: Sequence[str], parts: Sequence[str]) -> bool:
    if not parts:
        return not names
    if parts[0] == "**":
        is_open = bool(names) and not names[0].startswith(".")
        return _matches(names, parts[1:]) or (is_open and _matches(names[1:], parts))
    return bool(names) and _matches_one(names[0], parts[0]) and _matches(names[1:], parts[1:])


def _matches_one(name: str, part: str) -> bool:
    return fnmatchcase(name, part) and (part.startswith(".") or not name.startswith("."))
