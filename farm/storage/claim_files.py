"""A claim as a hidden file in a local folder.

It counts while its process lives, which its lock shows at once on the same machine. Elsewhere, and
on file systems without locks, it counts until it has not been touched for SILENT_SECONDS by the file
system's own clock.
"""

import errno
import fcntl
import os
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum, auto
from functools import cached_property
from pathlib import Path
from typing import Final, Self

from farm.errors import BadOutput
from farm.process import SILENT_SECONDS
from farm.storage.claim_content import ClaimContent
from farm.storage.local import create_locked

__all__ = ["ClaimFile"]

_CANNOT_WRITE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Where nothing can be written there is nothing to claim; what the job writes there will fail."""


class _Lock(Enum):
    """Who holds the lock of a file. UNKNOWN: the file system has no locks."""

    FREE = auto()
    TAKEN = auto()
    UNKNOWN = auto()


class ClaimFile:
    """One job's claim on files of a local folder."""

    def __init__(self, path: Path, descriptor: int, kernel: str) -> None:
        self.path, self.descriptor = path, descriptor
        self._kernel = kernel

    @classmethod
    def write(cls, folder: Path, content: ClaimContent, created: list[Path]) -> Self | None:
        """Write a claim, which appears complete and locked; None where nothing can be written.

        created: receives the folders that had to be created. Raises BadOutput.
        """
        try:
            _create_folder(folder, created)
            return cls(*_write(folder, content), content.kernel)
        except OSError as error:
            if error.errno in _CANNOT_WRITE:
                return None
            reason = (error.strerror or str(error)).lower()
            raise BadOutput(str(folder), f"{reason}; choose another path with -o") from error

    def renew(self) -> bool:
        """Show that the process lives. Returns whether the claim still has its file."""
        with suppress(OSError):
            os.utime(self.descriptor)
        return _is_at(self.path, self.descriptor)

    def others(self) -> Iterator[ClaimContent]:
        """Yield the other claims on the folder that count, and remove those that do not."""
        now = os.fstat(self.descriptor).st_mtime
        for path in self.path.parent.glob(".farm-*.claim"):
            if path != self.path and self._is_living(path, now) and (content := _read(path)):
                yield content

    def spelled(self, name: str) -> str:
        """Return the same text for all names that the disk takes for one."""
        return unicodedata.normalize("NFC", name).casefold() if self._ignores_case else name

    @cached_property
    def _ignores_case(self) -> bool:
        return self.path.with_name(self.path.name.upper()).exists()

    def remove(self) -> None:
        """Give the claim up, even if its file cannot be removed: nobody renews it any more."""
        if _is_at(self.path, self.descriptor):
            with suppress(OSError):
                self.path.unlink()
        os.close(self.descriptor)

    def _is_living(self, path: Path, now: float) -> bool:
        """Return whether a claim counts; remove it if it does not.

        now: Unix seconds, by the file system's clock.
        """
        try:
            is_silent, lock = now - path.stat().st_mtime >= SILENT_SECONDS, _lock_of(path)
        except FileNotFoundError:
            return False
        content = _read(path) if lock is _Lock.FREE else None
        is_ended = content is not None and content.kernel == self._kernel
        is_living = lock is _Lock.TAKEN or not (is_silent or is_ended)
        if not is_living:
            with suppress(OSError):
                path.unlink()
        return is_living


def _create_folder(folder: Path, created: list[Path]) -> None:
    missing = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
    folder.mkdir(parents=True, exist_ok=True)
    created += reversed(missing)


def _write(folder: Path, content: ClaimContent) -> tuple[Path, int]:
    path = folder / f".farm-{content.job}-{secrets.token_hex(4)}.claim"
    hidden = path.with_suffix(".part")
    descriptor = create_locked(hidden)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(bytes(content))
        os.fsync(descriptor)
        hidden.replace(path)
        os.utime(descriptor)
    except BaseException:
        os.close(descriptor)
        hidden.unlink(missing_ok=True)
        raise
    return path, descriptor


def _lock(descriptor: int, kind: int) -> _Lock:
    """Lock a file if it is free. kind: of fcntl.flock."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.TAKEN
    except OSError:
        return _Lock.UNKNOWN
    return _Lock.FREE


def _lock_of(path: Path) -> _Lock:
    """Return who holds the lock of a file. Raises FileNotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:
        return _Lock.UNKNOWN
    try:
        return _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file still has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _read(path: Path) -> ClaimContent | None:
    """Return what a claim says; None if it was given up meanwhile."""
    try:
        return ClaimContent.parse(path.read_bytes(), path.name)
    except FileNotFoundError:
        return None
    except OSError:
        return ClaimContent.parse(b"", path.name)
