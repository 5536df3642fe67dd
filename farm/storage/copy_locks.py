"""Locks on folders of copies: alone while one is fetched or removed, shared while it is in use.

The lock of a process ends with it, whatever ends it.
"""

import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final

from farm.errors import StorageFailed
from farm.storage.local import remove_folder

__all__ = ["Held", "bytes_in", "locked", "open_locked", "remove_if_free"]

_HELD: Final = 32
"""Copies that a process keeps from being removed: those it was given last."""

_STALLED_SECONDS: Final = 300.0
"""A fetch by which nothing arrives for this long has been stopped."""

_POLL_SECONDS: Final = 0.02


class Held:
    """Locks of the copies that this process was given last."""

    def __init__(self) -> None:
        self._descriptors: OrderedDict[Path, int] = OrderedDict()
        self._lock = Lock()

    def add(self, entry: Path, descriptor: int) -> None:
        with self._lock:
            self._close(entry)
            self._descriptors[entry] = descriptor
            if len(self._descriptors) > _HELD:
                self._close(next(iter(self._descriptors)))

    def drop(self, entry: Path) -> None:
        with self._lock:
            self._close(entry)

    def _close(self, entry: Path) -> None:
        descriptor = self._descriptors.pop(entry, None)
        if descriptor is not None:
            os.close(descriptor)


def _never() -> bool:
    return False


def open_locked(folder: Path, kind: int, until: Callable[[], bool] = _never) -> int | None:
    """Return a descriptor of a folder, created if it is not there, with a lock on it.

    until: says when the lock is no longer needed; then returns None. Raises StorageFailed.
    """
    while not until():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
        except (FileExistsError, FileNotFoundError):
            if folder.is_file():
                raise
            continue  # another process has removed it just now
        try:
            if _lock(descriptor, folder, kind, until) and _is_at(folder, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    return None


def _lock(descriptor: int, folder: Path, kind: int, until: Callable[[], bool]) -> bool:
    """Lock a folder as soon as whoever fetches into it has ended; return whether it is locked.

    Raises StorageFailed if nothing arrives there any more, as when that process is stopped.
    """
    arrived, since = -1, time.monotonic()
    while not until():
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if kind & fcntl.LOCK_NB:
                raise
        else:
            return True
        if (there := bytes_in(folder)) != arrived:
            arrived, since = there, time.monotonic()
        elif time.monotonic() - since > _STALLED_SECONDS:
            reason = "another process of this machine is fetching it and stands still; end it"
            raise StorageFailed(str(folder), reason)
        time.sleep(_POLL_SECONDS)
    return False


def _is_at(folder: Path, descriptor: int) -> bool:
    """Return whether an open folder still has this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False


@contextmanager
def locked(folder: Path, kind: int, until: Callable[[], bool] = _never) -> Iterator[bool]:
    """Hold a lock on a folder within the block, as open_locked does; yield whether it is held."""
    descriptor = open_locked(folder, kind, until)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def bytes_in(entry: Path) -> int:
    total = 0
    for parent, _, names in os.walk(entry):
        for each in names:
            with suppress(OSError):
                total += Path(parent, each).lstat().st_size
    return total


def remove_if_free(entry: Path) -> bool:
    """Remove an entry, and return True, unless it is in use."""
    try:
        descriptor = os.open(entry, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        if not _is_at(entry, descriptor):
            return False  # it was removed, and begun anew by another process
        remove_folder(entry)
        return True
    finally:
        os.close(descriptor)
