"""Which files are films, told by their suffixes; of a GIF, by whether it moves."""

from pathlib import Path, PurePath
from typing import Final

from PIL import Image

from farm.storage import input_path

__all__ = ["FILM_SUFFIXES", "WRITABLE_FILMS", "is_film", "is_film_name"]

WRITABLE_FILMS: Final = (".mp4", ".mov", ".mkv", ".webm", ".gif")
"""Suffixes of films that are written."""

FILM_SUFFIXES: Final = frozenset(
    {
        *WRITABLE_FILMS,
        *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mpeg", ".mpg"),
        *(".mts", ".mxf", ".ogv", ".vob", ".wmv"),
    }
)
"""Suffixes of films that are read."""


def is_film_name(path: PurePath) -> bool:
    """Say whether the suffix is one of a film, or of a picture that may move."""
    return path.suffix.lower() in FILM_SUFFIXES


def is_film(url: str) -> bool:
    """Say whether this is a film by its suffix, and for a GIF, whether it has several frames."""
    suffix = PurePath(url).suffix.lower()
    return _moves(input_path(url)) if suffix == ".gif" else suffix in FILM_SUFFIXES


def _moves(gif: Path) -> bool:
    try:
        with Image.open(gif, formats=("GIF",)) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - who reads the file says what is wrong with it
        return False
