"""Remembers which disk files were on, so that one that was unmounted is told from removed files."""

import os
from threading import Lock
from typing import Final

__all__ = ["is_unmounted", "note_disk"]

_REMEMBERED: Final = 10_000
"""Most folders to remember."""

_disks: Final[dict[str, int | None]] = {}
"""The device that a folder was on, by its real path. Its files may be on others: of layers, or mounted singly."""

_lock: Final = Lock()


def note_disk(path: str | os.PathLike[str]) -> None:
    """Note which device the folder of a file is on, now that the file was read."""
    folder = _real_folder(path)
    device = _device_at(folder)
    with _lock:
        _disks.pop(folder, None)
        _disks[folder] = device
        if len(_disks) > _REMEMBERED:
            del _disks[next(iter(_disks))]


def is_unmounted(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is gone together with the disk that this process saw files of its folder on."""
    folder = _real_folder(path)
    with _lock:
        device = _disks.get(folder)
    return device is not None and _device_at(folder) != device


def _real_folder(path: str | os.PathLike[str]) -> str:
    return os.path.dirname(os.path.realpath(path))  # noqa: PTH120 - strings


def _device_at(folder: str) -> int | None:
    """Return the device that a folder is on, or would be; None if it does not answer."""
    try:
        return os.stat(folder).st_dev  # noqa: PTH116 - a string
    except FileNotFoundError:
        return _device_at(os.path.dirname(folder))  # noqa: PTH120 - a string
    except OSError:
        return None
