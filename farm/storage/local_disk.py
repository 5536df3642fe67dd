"""Local disks as a scheme, whose URLs are plain paths."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from farm.errors import BadInput, BadOutput, InputChanged, StorageFailed
from farm.storage.disk_trouble import read_trouble
from farm.storage.local import open_whole, remove_folder, remove_leftovers, version_of
from farm.storage.scheme import Entry, Scheme, Stat

__all__ = ["LocalDisk", "translated_errors"]

_BLOCK_BYTES = 2**20


class LocalDisk(Scheme):
    """Files by their paths."""

    def stat(self, url: str) -> Stat | None:
        path = Path(url)
        with translated_errors(url), suppress(FileNotFoundError, NotADirectoryError):
            status = path.stat()
            if path.is_file():
                return Stat(status.st_size, version_of(path), status.st_mtime)
        return None

    def entries(self, folder: str, starts: str = "") -> Iterator[Entry]:
        with translated_errors(folder), suppress(FileNotFoundError), os.scandir(folder) as found:
            for item in found:
                if item.name.startswith(starts):
                    yield self._entry(os.path.join(folder, item.name))  # noqa: PTH118 - strings

    def files_below(self, folder: str) -> Iterator[Entry]:
        for parent, _, names in os.walk(folder):
            for name in names:
                yield self._entry(os.path.join(parent, name))  # noqa: PTH118 - strings

    def _entry(self, path: str) -> Entry:
        if os.path.isdir(path):  # noqa: PTH112 - strings
            return Entry(f"{path}/", is_folder=True)
        stat = self.stat(path)
        return Entry(path, False, stat.size, stat.version) if stat else Entry(path, is_folder=False)

    def fetch(self, url: str, seen: Stat, target: Path) -> None:
        self._check(url, seen)
        with translated_errors(url), Path(url).open("rb") as source, target.open("ab") as copy:
            source.seek(copy.tell())
            shutil.copyfileobj(source, copy, _BLOCK_BYTES)
        self._check(url, seen)

    def _check(self, url: str, seen: Stat) -> None:
        if version_of(Path(url)) != seen.version:
            raise InputChanged(url, "has changed")

    def put(self, url: str, source: Path, _sha256: str, *, expected: str | None = None) -> Stat:
        with open_whole(Path(url), expected) as file, source.open("rb") as content:
            shutil.copyfileobj(content, file, _BLOCK_BYTES)
        written = self.stat(url)
        if written is None:
            raise StorageFailed(url, "it was removed as soon as it was written")
        return written

    def remove(self, url: str) -> None:
        try:
            Path(url).unlink(missing_ok=True)
        except OSError as error:
            raise BadOutput(url, (error.strerror or str(error)).lower()) from error

    def remove_folder(self, folder: str) -> None:
        remove_folder(Path(folder))

    def remove_leftovers(self, folder: str) -> None:
        remove_leftovers(Path(folder))


@contextmanager
def translated_errors(path: str) -> Iterator[None]:
    """Raise BadInput, StorageFailed or StorageUnavailable for the errors of the system in the block."""
    try:
        yield
    except OSError as error:
        if trouble := read_trouble(path, error):
            raise trouble from error
        reason = (error.strerror or str(error)).lower()
        is_wrong = isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError)
        raise (BadInput if is_wrong else StorageFailed)(path, reason) from error
