"""Folders that last as long as a block, on a disk of this machine."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from farm.settings import Settings
from farm.storage.local import remove_folder, write_error

__all__ = ["scratch_folder"]


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """Yield an empty folder of this name beside the copies of remote files; finally remove it.

    Those that dead processes left are removed first. Raises StorageUnavailable and StorageFailed.
    """
    parent = Settings().cache_folder / "scratch"
    own = parent / secrets.token_hex(8)
    try:
        _remove_abandoned(parent)
        descriptor = _create_locked(own)
        (own / name).mkdir()
    except OSError as error:
        raise write_error(str(own), error) from error
    try:
        yield own / name
    finally:
        remove_folder(own)
        os.close(descriptor)


def _create_locked(folder: Path) -> int:
    """Create a folder under its name once it is locked; return the descriptor of the lock."""
    hidden = folder.with_name(f".{folder.name}")
    hidden.mkdir(parents=True)
    descriptor = os.open(hidden, os.O_RDONLY)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    hidden.rename(folder)
    return descriptor


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders that nobody has locked. Hidden ones are about to be locked."""
    for folder in parent.glob("[!.]*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_folder(folder)
            finally:
                os.close(descriptor)
