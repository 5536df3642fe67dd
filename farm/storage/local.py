"""Where files live: local paths, written whole or not at all.

Knows nothing of pictures. A URL of a scheme nobody stores is refused here, in one place.
"""

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from farm.errors import BadInput, BadOutput, FarmError, StorageFailed

__all__ = [
    "input_path",
    "open_whole",
    "output_path",
    "remove_file",
    "remove_folder",
    "remove_leftovers",
    "sha256_file",
]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_REFUSED = frozenset(
    {
        errno.EACCES,
        errno.EDQUOT,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EROFS,
    }
)
"""What the person who asked must put right; any other errno may pass with time."""


def input_path(url: str) -> Path:
    """Return the local path of an input. Raises BadInput for a scheme nobody stores."""
    if reason := _refusal(url):
        raise BadInput(url, reason)
    return Path(url)


def output_path(url: str) -> Path:
    """Return the local path of an output. Raises BadOutput for a scheme nobody stores."""
    if reason := _refusal(url):
        raise BadOutput(url, reason)
    return Path(url)


def _refusal(url: str) -> str:
    if not url or "\0" in url:
        return "no path; give a file or a folder"
    scheme = _SCHEME.match(url)
    return f"nothing here stores {scheme[1]}:// URLs; give a local path" if scheme else ""


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file to write that appears under its name when complete, or never.

    Folders above it are made. What is written goes to a hidden file beside the target, which is
    flushed to disk and renamed at the end of the block, and removed if the block raises. It is
    locked meanwhile, so that what a killed process leaves can be told: see remove_leftovers.

    Raises BadOutput where the place cannot be written or is full, StorageFailed where writing
    failed on the way (an I/O error).
    """
    part = path.with_name(f".farm-{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _removed_on_error(part), part.open("xb") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _as_farm_error(path, error) from error


@contextmanager
def _removed_on_error(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder: Path) -> None:
    """Remove from a folder what writers that are gone left half-written.

    A file with no lock on it has no writer any more; one that is still empty may have a writer
    that is about to lock it, and stays.
    """
    for part in folder.glob(".farm-*.part"):
        with suppress(OSError), part.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_size:
                part.unlink()


def remove_file(path: Path) -> None:
    """Remove a file, if it is there and can be."""
    with suppress(OSError):
        path.unlink(missing_ok=True)


def remove_folder(path: Path) -> None:
    """Remove a folder of the farm's own with all that is in it, if it is there and can be."""
    shutil.rmtree(path, ignore_errors=True)


def _as_farm_error(path: Path, error: OSError) -> FarmError:
    reason = error.strerror or str(error)
    if error.errno in {errno.EEXIST, errno.ENOTDIR}:
        reason = "a folder above it is a file"
    if error.errno in _REFUSED:
        return BadOutput(str(path), f"{reason.lower()}; choose another place with -o")
    return StorageFailed(str(path), f"{reason.lower()} while writing; nothing was left behind")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
