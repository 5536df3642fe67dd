"""Local files: checks paths, writes files completely or not at all, and removes leftovers."""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR
from types import MappingProxyType
from typing import BinaryIO

from farm.errors import (
    BadInput,
    BadOutput,
    FarmError,
    OutputReplaced,
    StorageFailed,
    StorageFull,
    StorageUnavailable,
)
from farm.storage.scheme import ABSENT
from farm.storage.urls import is_utf8, scheme_name, shown

__all__ = [
    "NOT_UTF8",
    "UNREACHABLE",
    "create_locked",
    "local_input",
    "open_whole",
    "output_path",
    "remove_file",
    "remove_folder",
    "remove_leftovers",
    "sha256_file",
    "trouble_of",
    "version_of",
    "write_error",
]

NOT_UTF8 = "its path must be UTF-8; rename it"

_USER_ERRORS = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
    }
)
"""Errors of the path that was asked for; any other may be transient."""

UNREACHABLE = frozenset(
    {
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)
"""Errors of a disk that is on another machine, or of what connects it."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_TROUBLE = MappingProxyType(
    {
        errno.ENOSPC: "the disk is full; free some space",
        errno.EDQUOT: "the disk quota is used up; free some space",
        errno.EROFS: "the disk has become read-only; mount it for writing again",
        **dict.fromkeys(
            (errno.EIO, errno.ENODEV, errno.ENXIO),
            "the disk reports errors; check it",
        ),
        **dict.fromkeys(
            UNREACHABLE,
            "the storage does not answer; check that it is mounted",
        ),
    }
)
"""Errors of a whole disk, with what the user can do: no other file can be written there either."""


def local_input(url: str) -> Path:
    """Return the local path of an input. Raises BadInput for a URL or an invalid path."""
    if reason := _path_error(url):
        raise BadInput(shown(url), reason)
    return Path(url)


def output_path(url: str | Path) -> Path:
    """Return the local path of an output. Raises BadOutput for a URL or an invalid path."""
    if reason := _path_error(str(url)):
        raise BadOutput(shown(str(url)), reason)
    return Path(url)


def _path_error(url: str) -> str:
    if not url or "\0" in url:
        return "not a valid path; give a file or a folder"
    if not is_utf8(url):
        return NOT_UTF8
    scheme = scheme_name(url)
    return f"{scheme}:// URLs are not supported; give a local path" if scheme else ""


def version_of(path: Path) -> str:
    """Return what tells the file at a path from any other one; ABSENT if there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    if S_ISDIR(status.st_mode):
        return ABSENT
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"


@contextmanager
def open_whole(path: Path, expected: str | None = None) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when complete.

    Creates missing parent folders. Writes to a hidden file beside the target, which is flushed to
    disk and renamed at the end of the block, or removed if the block raises. The hidden file stays
    locked, so that remove_leftovers can recognise those of killed processes. expected: the version
    that may be replaced, ABSENT for none, or None for whatever is there.

    Raises BadOutput if the path cannot be written, StorageUnavailable if nothing can be written
    there, OutputReplaced if something else is there, and StorageFailed on other I/O errors.
    """
    hidden = path.with_name(f".farm-{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _removed_on_error(hidden), open(hidden, "wb", opener=create_locked) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if expected is not None and version_of(path) != expected:
                raise OutputReplaced(str(path), "another worker has written it meanwhile")
            hidden.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(str(path), error) from error


def create_locked(path: str | Path, _flags: int = 0) -> int:
    """Create a file, locked until it is closed, and return its descriptor; an opener for open().

    remove_leftovers may find and remove it before it is locked; it is then created again. Raises
    FileExistsError.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return descriptor
        os.close(descriptor)


@contextmanager
def _removed_on_error(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove incomplete files that dead writers left in a folder.

    A file without a lock has no writer, or one that creates it again: see create_locked.
    """
    for hidden in folder.glob(".farm-*.part"):
        with suppress(OSError), hidden.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            hidden.unlink()


def remove_file(path: Path) -> None:
    """Remove a file; ignore any error."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove one of the farm's folders and its contents; ignore any error."""
    shutil.rmtree(path, ignore_errors=True)


def write_error(path: str, error: OSError) -> FarmError:
    """Return the farm error for an error of the system that occurred while a path was written."""
    reason = error.strerror or str(error)
    if trouble := trouble_of(error):
        return (StorageFull if error.errno in _FULL else StorageUnavailable)(path, trouble)
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        reason = "a parent folder is a file"
    if error.errno in _USER_ERRORS:
        return BadOutput(path, f"{reason.lower()}; choose another path with -o")
    return StorageFailed(path, f"{reason.lower()} while writing; no partial file remains")


def trouble_of(error: OSError) -> str:
    """Return what is wrong with a whole disk, and what the user can do; nothing for other errors."""
    trouble = _TROUBLE.get(error.errno or 0)
    return f"{trouble} ({(error.strerror or str(error)).lower()})" if trouble else ""


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file as hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
