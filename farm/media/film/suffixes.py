"""Recognises films by their suffixes, and animated GIFs by their frames."""

from pathlib import Path
from typing import Final

from PIL import Image

from farm.storage import input_path, suffix

__all__ = [
    "FILM_SUFFIXES",
    "WRITABLE_FILMS",
    "is_film",
    "is_film_name",
    "keeps_pixel_shape",
    "may_be_film",
]

WRITABLE_FILMS: Final = (".mp4", ".mov", ".mkv", ".webm", ".gif")
"""Suffixes of films that can be written."""

FILM_SUFFIXES: Final = frozenset(
    {
        *WRITABLE_FILMS,
        *(".3g2", ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mpeg", ".mpg"),
        *(".m2t", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".wmv"),
    }
)
"""Suffixes of films that can be read."""


def is_film_name(name: str) -> bool:
    """Return whether the suffix of a name, path or URL is that of a film, or of a GIF, which may be a still."""
    return suffix(name).lower() in FILM_SUFFIXES


def keeps_pixel_shape(target: str) -> bool:
    """Return whether an output can say that its pixels are not square; GIFs and pictures cannot."""
    return suffix(target).lower() in {*WRITABLE_FILMS} - {".gif"}


def may_be_film(url: str) -> bool:
    """Return whether the suffix is that of a film, or of a GIF, which may be a still."""
    return suffix(url).lower() in FILM_SUFFIXES


def is_film(url: str) -> bool:
    """Return whether the suffix is that of a film; a GIF must have several frames."""
    ending = suffix(url).lower()
    return _is_animated(input_path(url)) if ending == ".gif" else ending in FILM_SUFFIXES


def _is_animated(gif: Path) -> bool:
    try:
        with Image.open(gif, formats=("GIF",)) as image:
            return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - reading the file reports what is wrong with it
        return False
