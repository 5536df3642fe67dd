"""Tells a local disk that is gone from one file of it that cannot be read."""

import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import Final

from farm.errors import StorageFailed, StorageUnavailable
from farm.storage.local import UNREACHABLE, trouble_of
from farm.storage.mounts import is_unmounted
from farm.storage.urls import is_own, is_remote, parent

__all__ = ["TRIED", "any_is_read", "others_on_disk", "read_trouble"]

TRIED: Final = 2
"""Files that are tried before their storage counts as gone."""

_BLOCK_BYTES: Final = 4096
_BROKEN: Final = frozenset({errno.EIO, errno.ENODEV, errno.ENXIO})
"""Errors of a whole disk, or of one damaged file."""

_REMOVED: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_NOT_MOUNTED: Final = "its disk is no longer mounted; mount it again"


def read_trouble(path: str, error: OSError) -> StorageFailed | None:
    """Return the farm error for one of the system in reading that the file is not to blame for.

    path: as the user names the file; of a remote one, its copy met the error. Returns
    StorageUnavailable if any other file there would meet it, StorageFailed if a later try may
    succeed. None for any other error.
    """
    number = error.errno or 0
    if number in _REMOVED and not is_remote(path):
        return StorageUnavailable(path, _NOT_MOUNTED) if is_unmounted(path) else None
    if number not in UNREACHABLE | _BROKEN:
        return None
    if is_remote(path) or (number in _BROKEN and others_on_disk(path) is not False):
        return StorageFailed(path, (error.strerror or str(error)).lower())
    return StorageUnavailable(path, trouble_of(error))


def others_on_disk(path: str) -> bool | None:
    """Return whether another file in the folder of this one can be read; None if there is none.

    Files and folders that this process may not read tell nothing. path: also of a file in a zip.
    """
    own = os.path.basename(path)  # noqa: PTH119 - a string
    try:
        with os.scandir(parent(path)) as found:
            others = (item.path for item in found if item.name != own and not is_own(item.path))
            return any_is_read(map(_is_readable, islice(filter(_may_be_read, others), TRIED)))
    except NotADirectoryError:  # a zip
        return others_on_disk(parent(path))
    except PermissionError:
        return None
    except OSError:
        return False


def any_is_read(tried: Iterable[bool]) -> bool | None:
    """Return whether any of the files that were tried was read; None for none at all."""
    results = iter(tried)
    first = next(results, None)
    return None if first is None else first or any(results)


def _may_be_read(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.R_OK)  # noqa: PTH113 - a string


def _is_readable(path: str) -> bool:
    """Return whether a file can be read from its disk, and not only from memory."""
    with suppress(OSError), open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a string
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.read(_BLOCK_BYTES)
        return True
    return False
