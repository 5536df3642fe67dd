"""Tells a storage that is gone from one file of it that cannot be used, by asking it for another."""

from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from farm.errors import BadInput, StorageFailed
from farm.storage.disk_trouble import TRIED, any_is_read, others_on_disk
from farm.storage.local_disk import LocalDisk
from farm.storage.scheme import Entry, Scheme, Stat
from farm.storage.schemes import scheme_of
from farm.storage.urls import absolute, as_folder, is_own, is_remote, parents

__all__ = ["answers_otherwise"]

_LISTED: Final = 1000
"""Most files of a folder to choose from."""

_MOST_BYTES: Final = 16 * 2**20
"""Largest remote file that is read."""


def answers_otherwise(url: str, *, is_output: bool) -> bool:
    """Return whether a storage serves other files while this one cannot be used. Raises nothing.

    It asks the storage, which takes minutes if nothing answers. is_output: a small file is also
    written beside this one, and removed. A local disk without another file to read tells nothing of
    its inputs, so it counts as gone.
    """
    try:
        others = _read_another(absolute(url)) if is_remote(url) else others_on_disk(url)
        if is_output and others is not False:
            (scheme_of(url) if is_remote(url) else LocalDisk()).check_output(absolute(url))
    except Exception:  # noqa: BLE001 - a plugin's storage may raise anything
        return False
    return others is not False if is_output or is_remote(url) else others is True


def _read_another(url: str) -> bool | None:
    """Return whether another file can be read, the nearest one; None if there is none."""
    scheme = scheme_of(url)
    for folder in parents(url):
        listed = islice(scheme.entries(as_folder(folder)), _LISTED)
        others = sorted((e for e in listed if _is_other(e, url)), key=lambda entry: entry.size)
        if others:
            return any_is_read(_is_readable(scheme, entry) for entry in others[:TRIED])
    return None


def _is_other(entry: Entry, url: str) -> bool:
    is_small = not entry.is_folder and 0 < entry.size <= _MOST_BYTES
    return is_small and entry.url != url and not is_own(entry.url)


def _is_readable(scheme: Scheme, entry: Entry) -> bool:
    with TemporaryDirectory(prefix="farm-") as folder:
        try:
            seen = Stat(entry.size, entry.version, 0.0)
            scheme.fetch(entry.url, seen, Path(folder, "content"))
        except (BadInput, StorageFailed):
            return False
    return True
