"""The still formats that can be read and written, by suffix."""

import functools
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from PIL import Image

from farm.errors import BadOutput
from farm.model.picture_size import MAX_PIXELS
from farm.storage import suffix

__all__ = [
    "MAX_PIXELS",
    "WRITABLE",
    "StillFormat",
    "check_side",
    "is_readable",
    "readable_formats",
]

_UNSUPPORTED: Final = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow only identifies, or passes to another program."""


@dataclass(frozen=True)
class StillFormat:
    """The limits of a format that can be written. depths: bits per channel. max_side: pixels."""

    name: str
    depths: tuple[int, ...]
    has_alpha: bool
    max_side: int


_PNG = StillFormat("PNG", (8, 16), has_alpha=True, max_side=2**31 - 1)
_JPEG = StillFormat("JPEG", (8,), has_alpha=False, max_side=65500)
_WEBP = StillFormat("WebP", (8,), has_alpha=True, max_side=16383)
_TIFF = StillFormat("TIFF", (8, 16), has_alpha=True, max_side=2**31 - 1)

WRITABLE: Final = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
}


def check_side(url: str, height: int, width: int) -> None:
    """Raise BadOutput if a picture is too large for the format of its suffix."""
    still_format = WRITABLE.get(PurePath(url).suffix.lower())
    if still_format and max(height, width) > still_format.max_side:
        limit = f"{still_format.name} allows {still_format.max_side} per side"
        raise BadOutput(url, f"{width}x{height} pixels, but {limit}; write .png or .tif")


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that can be read."""
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _UNSUPPORTED))


def is_readable(name: str) -> bool:
    """Return whether the suffix of a name, path or URL is that of a format that can be read."""
    return suffix(name).lower() in _readable_suffixes()


@functools.cache
def _readable_suffixes() -> frozenset[str]:
    named = Image.registered_extensions().items()
    return frozenset(ending for ending, name in named if name in readable_formats())
