"""Which still formats are read and written, and by which suffix."""

import functools
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from PIL import Image

__all__ = ["MAX_PIXELS", "WRITABLE", "Writable", "is_readable", "readable_formats"]

MAX_PIXELS: Final = 2**28
"""Pixels of the largest still that is read: 268 megapixels, 3.2 GB once decoded."""

_PROGRAMS: Final = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})
"""Formats that Pillow only knows by name, or hands to another program."""


@dataclass(frozen=True)
class Writable:
    """What a format that is written can hold. max_side: pixels."""

    name: str
    depths: tuple[int, ...]
    has_alpha: bool
    max_side: int


_PNG = Writable("PNG", (8, 16), has_alpha=True, max_side=2**31 - 1)
_JPEG = Writable("JPEG", (8,), has_alpha=False, max_side=65500)
_WEBP = Writable("WebP", (8,), has_alpha=True, max_side=16383)
_TIFF = Writable("TIFF", (8, 16), has_alpha=True, max_side=2**31 - 1)

WRITABLE: Final = {
    ".png": _PNG,
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": _WEBP,
    ".tif": _TIFF,
    ".tiff": _TIFF,
}


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats that are read."""
    Image.init()
    return tuple(sorted(set(Image.OPEN) - _PROGRAMS))


def is_readable(path: PurePath) -> bool:
    """Say whether the suffix names a format that is read."""
    name = Image.registered_extensions().get(path.suffix.lower())
    return name in readable_formats()
