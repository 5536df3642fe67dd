"""Reading a still, whatever it is: bounded before it is decoded, upright, sRGB, alpha apart.

Pillow reads most formats; farm.media.deep reads TIFF and what Pillow would cut to 8 bits.
"""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image

from farm.media.blank import is_blank, parse_blank, read_blank
from farm.media.bounds import guarded, one_line
from farm.media.colour import to_srgb
from farm.media.damage import check_jpeg
from farm.media.deep import is_deep, read_deep
from farm.media.formats import MAX_PIXELS, readable_formats
from farm.media.frame import Frame, from_levels

__all__ = ["read_still", "still_size"]

_GREY: Final = frozenset({"1", "L", "LA", "La"})
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What puts a picture of each EXIF orientation upright."""


def read_still(url: str, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a still, or draw a ``blank:`` one.

    EXIF orientation and colour profile are applied, of an animation the first picture is taken.
    Samples of 32 bits or floating point must lie in 0..65535 or 0..1. max_pixels: refuse more.

    Raises BadInput where the picture cannot be read, StorageFailed where its storage failed.
    """
    if is_blank(url):
        return read_blank(url, max_pixels)
    with guarded(url, max_pixels) as path:
        if is_deep(path) and not _is_lab(path):
            return read_deep(path, max_pixels)
        with Image.open(path, formats=readable_formats()) as image:
            if image.format in {"JPEG", "MPO"}:
                check_jpeg(path)
            return _decode(image)


def still_size(url: str) -> tuple[int, int]:
    """Return a still's pixels a side as its file lies, decoding nothing. Raises BadInput."""
    if is_blank(url):
        blank = parse_blank(url)
        return blank.width, blank.height
    with (
        guarded(url, MAX_PIXELS) as path,
        Image.open(path, formats=readable_formats()) as image,
    ):
        return image.size


def _is_lab(path: Path) -> bool:
    """Say whether this is 8-bit Lab, which only Pillow reads."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            return image.mode == "LAB"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception:  # noqa: BLE001 - the deep reader says what is wrong, if anything is
        return False


def _decode(image: Image.Image) -> Frame:
    image.load()
    image, notes = _upright(image)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _from_numbers(np.asarray(image), notes)
    profile = image.info.get("icc_profile")
    image, alpha = _split(image)
    image, more = to_srgb(image, profile)
    return Frame(from_levels(np.asarray(image), 255), alpha, notes=notes + more)


def _upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # noqa: BLE001 - metadata is no reason to refuse a picture
        return image, (f"EXIF ignored: {one_line(error)}",)
    method = _UPRIGHT.get(orientation)
    return (image if method is None else image.transpose(method)), ()


def _split(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Return the picture without alpha, in a mode that colour profiles know, and the alpha."""
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in _GREY else "RGBA")
        alpha = from_levels(np.asarray(image.getchannel("A")), 255)
        return image.convert(image.mode[:-1]), alpha
    if image.mode in {"L", "RGB", "CMYK", "LAB"}:
        return image, None
    return image.convert("L" if image.mode in _GREY else "RGB"), None


def _from_numbers(samples: np.ndarray, notes: tuple[str, ...]) -> Frame:
    """Return a picture of deep grey samples: whole numbers to 65535, or fractions to 1."""
    peak = 1 if samples.dtype.kind == "f" else 65535
    if not (samples.min() >= 0 and samples.max() <= peak):
        found = f"{samples.min():g} to {samples.max():g}"
        raise ValueError(f"its samples must lie in 0 to {peak}, found {found}")
    grey = from_levels(samples, peak)
    return Frame(np.repeat(grey[..., None], 3, axis=2), depth=16, notes=notes)
