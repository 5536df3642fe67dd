"""What a kind of storage must be able to do. A scheme is a class with these methods.

Every kind passes the same suite of tests. URLs reach a scheme checked, and those of folders end
with a slash. Errors are BadInput or BadOutput where the request is wrong, StorageFailed where a
later try may succeed, and StorageUnavailable where that holds for all files: the storage is full,
busy or gone. A job waits for that, and no unit of it fails.
"""

import hashlib
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from farm.errors import BadInput, BadOutput, StorageFailed, StorageUnavailable
from farm.storage.urls import as_folder, parent

__all__ = ["ABSENT", "Entry", "Scheme", "SchemeFactory", "Stat"]

ABSENT: Final = ""
"""In place of a version: nothing is there."""


@dataclass(frozen=True)
class Stat:
    """A file as it is at one moment.

    size: in bytes. version: changes whenever the content does. modified: Unix seconds by the
    storage's own clock. sha256: of the content, if the storage keeps it.
    """

    size: int
    version: str
    modified: float
    sha256: str = ""


@dataclass(frozen=True)
class Entry:
    """A file or folder that was listed. The URL of a folder ends with a slash.

    size, version: of a file, as in Stat.
    """

    url: str
    is_folder: bool
    size: int = 0
    version: str = ""


class Scheme(ABC):
    """One kind of storage. Its methods may be called from any thread."""

    def fault(self, _url: str) -> str:
        """Return why this storage can have no such URL; or nothing. Looks only at the text."""
        return ""

    @abstractmethod
    def stat(self, url: str) -> Stat | None:
        """Return a file as it is now; None if there is no such file."""

    @abstractmethod
    def entries(self, folder: str, starts: str = "") -> Iterator[Entry]:
        """Yield the files and folders directly in a folder, page by page.

        starts: how their names begin. A folder that does not exist has none.
        """

    @abstractmethod
    def files_below(self, folder: str) -> Iterator[Entry]:
        """Yield all files in a folder and its subfolders, page by page."""

    @abstractmethod
    def fetch(self, url: str, seen: Stat, target: Path) -> None:
        """Copy the version that was seen to a local file.

        What target contains already is the start of this version, and is not read again. What has
        arrived stays there if an error is raised. Raises InputChanged if the version is gone.
        """

    @abstractmethod
    def put(self, url: str, source: Path, sha256: str, *, expected: str | None = None) -> Stat:
        """Write a file from a local one, whole or not at all.

        expected: the version that may be replaced, ABSENT for none, or None for whatever is there.
        Raises OutputReplaced if something else is there.
        """

    @abstractmethod
    def remove(self, url: str) -> None:
        """Remove a file, if it is there."""

    def remove_all(self, urls: Sequence[str]) -> None:
        """Remove files, if they are there."""
        for url in urls:
            self.remove(url)

    def remove_folder(self, folder: str) -> None:
        """Remove all files below a folder."""
        self.remove_all([entry.url for entry in self.files_below(folder)])

    def remove_leftovers(self, _folder: str) -> None:
        """Remove what dead writers left in a folder; a storage may leave nothing."""
        return

    def check_output(self, url: str) -> None:
        """Raise BadOutput if files cannot be written beside this one. Writes one, and removes it.

        Raises StorageUnavailable if that is so for now only.
        """
        probe = f"{as_folder(parent(url))}.farm-{secrets.token_hex(8)}.part"
        try:
            self.put_bytes(probe, b"", expected=ABSENT)
            self.remove(probe)
        except (BadInput, BadOutput) as error:
            raise BadOutput(url, error.reason) from error
        except StorageFailed as error:
            raise StorageUnavailable(url, error.reason) from error

    def put_bytes(self, url: str, content: bytes, *, expected: str | None = None) -> Stat:
        """Write a small file, as put does."""
        with TemporaryDirectory(prefix="farm-") as folder:
            source = Path(folder, "content")
            source.write_bytes(content)
            return self.put(url, source, hashlib.sha256(content).hexdigest(), expected=expected)

    def read_bytes(self, url: str, seen: Stat) -> bytes:
        """Return the content of a small file, as fetch does."""
        with TemporaryDirectory(prefix="farm-") as folder:
            self.fetch(url, seen, Path(folder, "content"))
            return Path(folder, "content").read_bytes()


SchemeFactory = Callable[[], Scheme]
"""Makes the scheme on the first URL that names it, in every process anew."""
