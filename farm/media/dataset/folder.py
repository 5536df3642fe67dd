"""The pictures of a folder and its subfolders."""

import os
from pathlib import Path
from typing import NoReturn

from farm.media.dataset.layout import is_hidden, is_picture_name

__all__ = ["folder_pictures"]


def folder_pictures(folder: Path) -> list[str]:
    """Return the names of the pictures in a folder and its subfolders, without hidden ones.

    Links to files count, links to folders do not. Raises OSError for a folder that cannot be listed.
    """
    found: list[str] = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        inside = Path(parent).relative_to(folder)
        paths = (inside / name for name in names if not is_hidden(name) and is_picture_name(name))
        found += (path.as_posix() for path in paths if (folder / path).is_file())
    return found


def _raise(error: OSError) -> NoReturn:
    raise error
