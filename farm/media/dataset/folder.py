"""The pictures of a folder and its subfolders."""

import os
from pathlib import Path
from typing import NoReturn

from farm.media.dataset.layout import is_hidden, is_picture_name
from farm.media.dataset.picture_decoder import check_bytes

__all__ = ["Folder", "file_content", "file_stamp"]


class Folder:
    """The pictures of a folder, without hidden ones.

    Links to files count, links to folders do not. Raises OSError for a folder that cannot be listed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = _pictures(path)

    def content(self, name: str) -> bytes:
        """Return the content of a picture. Raises BadInput if it is too large, OSError."""
        return file_content(self._path / name)

    def stamp(self, name: str) -> tuple[int, int]:
        """Return two numbers that differ once the picture has changed. Raises OSError."""
        return file_stamp(self._path / name)


def file_content(path: Path) -> bytes:
    """Return the content of a picture's file. Raises BadInput if it is too large, OSError."""
    check_bytes(str(path), path.stat().st_size)
    return path.read_bytes()


def file_stamp(path: Path) -> tuple[int, int]:
    """Return the size and time of a file. Raises OSError."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _pictures(folder: Path) -> list[str]:
    found: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        inside = Path(parent).relative_to(folder)
        paths = (inside / name for name in names if not is_hidden(name) and is_picture_name(name))
        found += (path.as_posix() for path in paths if (folder / path).is_file())
    return found


def _raise(error: OSError) -> NoReturn:
    raise error
