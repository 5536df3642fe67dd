"""Copies of remote files on this machine, shared by all its processes.

A copy belongs to one version of a file and never changes. It is fetched once, by whichever process
needs it first, and verified before it appears under its name. Copies that were not used for longest
make room for others. Those in use stay: a process holds a shared lock on what it was given last.
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

from farm.errors import BadInput, BadOutput, FarmError, StorageFailed
from farm.settings import Settings
from farm.storage.copy_locks import Held, bytes_in, locked, open_locked, remove_if_free
from farm.storage.local import create_locked, remove_leftovers, sha256_file, write_error
from farm.storage.measuring import transfer
from farm.storage.scheme import Entry, Scheme, Stat
from farm.storage.urls import absolute, as_folder, name, parents

__all__ = ["Copies", "local_copies"]

_THREADS: Final = 8
"""Files of a folder that are fetched at the same time."""

_NAME_BYTES: Final = 200
"""Longest name of a copy; a longer one loses its beginning."""

_PART: Final = ".part"


def local_copies() -> "Copies":
    """Return the copies on this machine, as the settings say."""
    settings = Settings()
    return _copies_at(settings.cache_folder, settings.cache_bytes)


@lru_cache(maxsize=8)
def _copies_at(folder: Path, most_bytes: int) -> "Copies":
    return Copies(folder, most_bytes)


class Copies:
    """Copies in one folder. most_bytes: kept there, apart from copies that are in use."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most_bytes = folder, most_bytes
        self._held = Held()
        self._unswept = most_bytes

    def copy(self, url: str, seen: Stat, scheme: Scheme) -> Path:
        """Return the copy of a file in the version that was seen; fetch it if it is not here.

        Raises InputChanged if the version is gone, StorageFailed, StorageUnavailable.
        """
        entry = self._entry(url, seen.version)
        copy = entry / _local_name(url)
        return self._hold(entry, copy, lambda part: _fetch(url, seen, scheme, part), seen.size)

    def copy_folder(
        self, url: str, files: Sequence[Entry], scheme: Scheme, report: Callable[[float], None]
    ) -> Path:
        """Return a local folder with copies of these files, which are all that is below a URL.

        report: receives the fraction of the files that have been fetched. Raises as copy does.
        """
        listed = sorted((file.url, file.version, file.size) for file in files)
        entry = self._entry(url, hashlib.sha256(json.dumps(listed).encode()).hexdigest())

        def fetch(part: Path) -> None:
            _fetch_folder(as_folder(url), files, scheme, part, report)

        return self._hold(entry, entry / _local_name(url), fetch, sum(f.size for f in files))

    @contextmanager
    def staged(self) -> Iterator[BinaryIO]:
        """Open a file that will be put to a storage. It is removed unless keep has taken it."""
        folder = self._folder / "outgoing"
        path = folder / f".farm-{secrets.token_hex(8)}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with open(path, "w+b", opener=create_locked) as file:
                yield file
        except OSError as error:
            raise self._error(error) from error
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def keep(self, url: str, written: Stat, content: Path) -> None:
        """Take a file that has just been written to a URL as the copy of it."""
        entry = self._entry(url, written.version)
        with suppress(OSError):
            self._make_room(written.size)
            with locked(entry, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _sync(content)
                content.replace(entry / _local_name(url))

    def _entry(self, url: str, version: str) -> Path:
        key = hashlib.sha256(f"{absolute(url)}\0{version}".encode()).hexdigest()
        return self._folder / "copies" / key[:40]

    def _hold(self, entry: Path, copy: Path, fetch: Callable[[Path], None], size: int) -> Path:
        """Return a copy that stays while it is in use. fetch: completes a part of it."""
        try:
            while not self._is_held(entry, copy):
                with locked(entry, fcntl.LOCK_EX, until=copy.exists) as is_alone:
                    if is_alone and not copy.exists():
                        self._make_room(size)
                        fetch(entry / _PART)
                        (entry / _PART).replace(copy)
        except OSError as error:
            raise self._error(error) from error
        return copy

    def _is_held(self, entry: Path, copy: Path) -> bool:
        """Return whether a copy is here; it then stays while it is in use."""
        descriptor = open_locked(entry, fcntl.LOCK_SH)
        assert descriptor is not None
        if copy.exists():
            os.utime(descriptor)
            self._held.add(entry, descriptor)
            return True
        os.close(descriptor)
        self._held.drop(entry)  # of a copy that somebody removed by hand
        return False

    def _error(self, error: OSError) -> FarmError:
        translated = write_error(str(self._folder), error)
        if isinstance(translated, BadOutput):
            reason = (error.strerror or str(error)).lower()
            return BadOutput(str(self._folder), f"{reason}; set FARM_CACHE to another folder")
        return translated

    def _make_room(self, size: int) -> None:
        """Remove copies that were not used for longest, once enough has been added to matter."""
        self._unswept += size
        if self._unswept * 200 < self._most_bytes:
            return
        self._unswept = 0
        remove_leftovers(self._folder / "outgoing")
        entries = sorted((self._folder / "copies").glob("*"), key=_last_use)
        sizes = [bytes_in(entry) for entry in entries]
        excess = sum(sizes) + size - self._most_bytes
        for entry, freed in zip(entries, sizes, strict=True):
            if excess <= 0:
                return
            if remove_if_free(entry):
                excess -= freed


def _fetch(url: str, seen: Stat, scheme: Scheme, part: Path) -> None:
    """Complete a part of a file and verify it. Raises StorageFailed if it is not what was written."""
    if part.exists() and part.stat().st_size > seen.size:
        part.unlink()
    had = _size(part)
    with transfer(url, "read") as moved:
        moved.begin()
        try:
            scheme.fetch(url, seen, part)
        finally:
            moved.bytes = _size(part) - had
    is_right = part.stat().st_size == seen.size
    if not is_right or (seen.sha256 and sha256_file(part) != seen.sha256):
        part.unlink()
        raise StorageFailed(url, "what arrived is not what was written; its copy was dropped")
    _sync(part)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sync(path: Path) -> None:
    """Let a file be on the disk before it appears under its name."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _fetch_folder(
    folder: str,
    files: Sequence[Entry],
    scheme: Scheme,
    part: Path,
    report: Callable[[float], None],
) -> None:
    """Fetch the files of a folder that are not here yet, several at a time."""

    def fetch(file: Entry) -> None:
        target = part / file.url.removeprefix(folder)
        if target.exists():
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        hidden = target.with_name(f".farm-{_key(target.name)}.part")
        _fetch(file.url, Stat(file.size, file.version, 0.0), scheme, hidden)
        hidden.replace(target)

    _check_names(folder, [file.url for file in files])
    part.mkdir(exist_ok=True)
    with ThreadPoolExecutor(_THREADS, "farm-fetch") as pool:
        for number, _ in enumerate(pool.map(fetch, files), start=1):
            report(number / len(files))


def _check_names(folder: str, urls: Sequence[str]) -> None:
    """Raise BadInput if no local folder can have all these files."""
    both = set(urls).intersection(above for url in urls for above in parents(url))
    if both:
        raise BadInput(folder, f"{min(both)} is a file and also a folder; rename one of them")


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _local_name(url: str) -> str:
    """Return a name for a copy that ends as the file's own does, so that its suffix is the same."""
    last = name(url)
    while len(last.encode()) > _NAME_BYTES:
        last = last[1:]
    return f"{_key(last)}{last}" if last.startswith(".") or last == _PART else last


def _last_use(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0
