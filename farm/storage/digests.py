"""Digests of files and folders, and a check that files are what they were when a job was submitted.

A file is hashed again only when it looks different: its inode, its size or its times; or, if it is
remote, its version.
"""

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from threading import Lock
from typing import Final, TypeVar

from farm.errors import BadInput, InputChanged, StorageFailed
from farm.storage.door import as_seen, exists, input_path, is_file, local_folder, seen
from farm.storage.local import sha256_file
from farm.storage.local_disk import translated_errors
from farm.storage.mounts import note_disk
from farm.storage.urls import absolute, is_remote, parents

__all__ = ["FileDigests", "KnownFiles", "Look", "look_at"]

_REMEMBERED: Final = 100_000
"""Most digests to remember, at about 300 bytes each; more files than this are hashed again."""

_THREADS: Final = 8
"""Threads that hash a folder. hashlib releases the interpreter, and a network disk is slow to answer."""

Look = tuple[int, int, int, int, int] | tuple[int, str]
"""What a file looks like. While it stays the same, so does the content.

Device, inode, size and times of a local file; size and version of a remote one.
"""

Value = TypeVar("Value")


def look_at(path: Path | str) -> Look | None:
    """Return what a file looks like; None if it is inaccessible.

    Raises BadInput or StorageFailed if a remote storage does not tell.
    """
    if is_remote(path):
        stat = seen(str(path))
        return (stat.size, stat.version) if stat else None
    try:
        status = os.stat(path)  # noqa: PTH116 - a path or a string
    except (OSError, ValueError):
        return None
    times = status.st_mtime_ns, status.st_ctime_ns
    return (status.st_dev, status.st_ino, status.st_size, *times)


class FileDigests:
    """SHA-256 of files and folders. Remembers the digest of a file until it looks different.

    taken: digests by path, taken a moment ago, which are not taken again.
    """

    def __init__(self, taken: Mapping[str, str] | None = None) -> None:
        self._taken = taken or {}
        self._known: OrderedDict[Path | str, tuple[Look | None, str]] = OrderedDict()

    def sha256(self, path: str, report: Callable[[float], None] = lambda _done: None) -> str:
        """Return the SHA-256 of a file, or one that stands for a folder.

        A folder's covers the relative name and the content of every file in it and in its
        subfolders, except hidden ones. Every file is read once, several at a time, which takes as
        long as copying the folder. report: receives the fraction of a folder that has been read.

        Raises BadInput if there is neither, StorageFailed if the storage fails.
        """
        if path in self._taken:
            return self._taken[path]
        if is_remote(path):
            return self._remote(absolute(path), report)
        found = input_path(path)
        with translated_errors(path):
            mode = found.stat().st_mode
            if S_ISDIR(mode):
                return _joint_digest(self.contents(found, report))
            if S_ISREG(mode):
                return self._file(found)
        raise BadInput(path, "neither a file nor a folder")

    def _remote(self, url: str, report: Callable[[float], None]) -> str:
        """Return what the storage keeps as a file's digest, or take the digest of its copy."""
        stat = seen(url)
        if stat is None:
            return _joint_digest(self.contents(local_folder(url, report)))
        if stat.sha256:
            return stat.sha256
        look = stat.size, stat.version
        known = self._known.get(url)
        if known is None or known[0] != look:
            with as_seen(url, stat):
                known = look, sha256_file(input_path(url))
        self._remember(url, known)
        return known[1]

    def contents(
        self, folder: Path, report: Callable[[float], None] = lambda _done: None
    ) -> dict[str, str]:
        """Return the SHA-256 of every file in a folder that is not hidden, by relative name."""
        paths = list(_files_in(folder))
        with ThreadPoolExecutor(_THREADS, "farm-digest") as pool:
            entries = pool.map(self._entry, paths)
            found: dict[str, str] = {}
            for number, (path, entry) in enumerate(zip(paths, entries, strict=True), start=1):
                self._remember(path, entry)
                found[str(path.relative_to(folder))] = entry[1]
                report(number / len(paths))
        return found

    def _file(self, path: Path) -> str:
        entry = self._entry(path)
        self._remember(path, entry)
        return entry[1]

    def _entry(self, path: Path) -> tuple[Look | None, str]:
        """Return what a file looks like, and its digest. Raises StorageFailed if it keeps changing."""
        look = look_at(path)
        known = self._known.get(path)
        if known and known[0] == look:
            return known
        digest = sha256_file(path)
        note_disk(path)
        if look_at(path) != look:
            raise StorageFailed(str(path), "it changed while it was read")
        return look, digest

    def _remember(self, path: Path | str, entry: tuple[Look | None, str]) -> None:
        self._known[path] = entry
        self._known.move_to_end(path)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _is_there(path: str) -> bool:
    return exists(path) if is_remote(path) else os.path.lexists(path)


def _joint_digest(contents: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(contents.items())).encode()).hexdigest()


def _files_in(folder: Path) -> list[Path]:
    """Return the files in a folder and its subfolders, except hidden ones, in a fixed order."""
    found: list[Path] = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(parent, name) for name in sorted(names) if not name.startswith("."))
        found += (path for path in paths if path.is_file())
    return found


class KnownFiles:
    """The files of one job, with the content they had when it was submitted.

    expected: SHA-256 by path, of a file or of a folder, whose files are then expected too; and of
    anything else that a job names, by a name without a slash. Empty if nothing is known, as while a
    spec is checked.
    """

    def __init__(
        self, expected: Mapping[str, str] | None = None, digests: FileDigests | None = None
    ) -> None:
        self._expected = expected or {}
        self._digests = digests or FileDigests()
        self._folders: dict[str, dict[str, str]] = {}
        self._hashing = Lock()

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file or folder.

        Raises InputChanged if it is not what it was when the job was submitted, BadInput if there
        is no such file, StorageFailed.
        """
        folder = self._expected_folder(path)
        expected = self._content_of(folder).get(path, "") if folder else self._expected.get(path)
        try:
            found = self._digests.sha256(path)
        except BadInput as error:
            if expected is None or _is_there(path):
                raise
            raise InputChanged(path, "was removed") from error
        if expected not in {None, found}:
            raise InputChanged(path, "has changed")
        return found

    def copy_of(self, url: str) -> Path:
        """Return the local copy of a remote file or folder, which stays as it is from now on.

        Raises InputChanged if it is not what it was when the job was submitted, BadInput,
        StorageFailed.
        """
        if is_file(url):
            return self._read_remote(url, lambda: input_path(url))[0]
        copy = local_folder(url)
        expected = self._expected.get(url)
        if expected and _joint_digest(self._digests.contents(copy)) != expected:
            raise InputChanged(url, "has changed")
        return copy

    def check(self, name: str, found: str) -> None:
        """Raise InputChanged if something that is no file of the job has another digest than then."""
        if self._expected.get(name, found) != found:
            raise InputChanged(name, "has changed")

    def read(self, path: str, read: Callable[[], Value]) -> tuple[Value, str]:
        """Return what a function reads from a file, and the digest of what it has read.

        Raises InputChanged as digest does, before and after the file is read, and StorageFailed if
        the file changed in between.
        """
        if is_remote(path):
            return self._read_remote(path, read)
        if path in self._expected or self._expected_folder(path):
            self.digest(path)
        before = look_at(Path(path))
        value = read()
        digest = self.digest(path)
        if look_at(Path(path)) != before:
            raise StorageFailed(path, "it changed while it was read")
        return value, digest

    def _read_remote(self, url: str, read: Callable[[], Value]) -> tuple[Value, str]:
        """Read one version of a remote file, whatever happens to it meanwhile."""
        stat = seen(url)
        with as_seen(url, stat) if stat else nullcontext():
            digest = self.digest(url)
            return read(), digest

    def _expected_folder(self, path: str) -> str | None:
        """Return the folder among the expected ones that a path is in."""
        if path in self._expected or not self._expected:
            return None
        return next((folder for folder in parents(path) if folder in self._expected), None)

    def _content_of(self, folder: str) -> dict[str, str]:
        """Return the digests in an expected folder by path, once it is known to be unchanged."""
        with self._hashing:
            if folder not in self._folders:
                with translated_errors(folder):
                    found = self._digests.contents(local_folder(folder))
                if _joint_digest(found) != self._expected[folder]:
                    raise InputChanged(folder, "has changed")
                self._folders[folder] = {f"{folder}/{name}": sha for name, sha in found.items()}
            return self._folders[folder]
