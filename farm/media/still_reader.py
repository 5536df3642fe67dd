"""Reads stills of any supported format: within limits, upright, in sRGB, with separate alpha.

Pillow reads most formats; farm.media.vips reads TIFF and what Pillow would reduce to 8 bits.
"""

from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from PIL import ExifTags, Image

from farm.errors import BadInput
from farm.media.blank import is_blank, parse_blank, read_blank
from farm.media.bounds import one_line, safe_decoding, safe_decoding_of_bytes
from farm.media.colour import to_srgb
from farm.media.frame import Frame, from_levels
from farm.media.jpeg_damage import check_jpeg
from farm.media.still_formats import MAX_PIXELS, readable_formats
from farm.media.vips import needs_vips, read_with_vips

__all__ = ["read_encoded", "read_still", "still_size"]

_GREY: Final = frozenset({"1", "L", "LA", "La"})
_TRANSPOSES: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The operation that puts a picture upright, by EXIF orientation."""

_QUARTER_TURNS: Final = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange height and width."""


def read_still(url: str, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a still, or draw a ``blank:`` one.

    Applies the EXIF orientation and the colour profile; takes the first picture of an animation.
    Floating-point samples must be in 0..1; 32-bit integers outside TIFF, in 0..65535.

    Raises BadInput if the picture cannot be read or has more than max_pixels, StorageFailed if
    the storage fails.
    """
    if is_blank(url):
        return read_blank(url, max_pixels)
    with safe_decoding(url, max_pixels) as path:
        return _read(path, max_pixels)


def read_encoded(name: str, content: bytes, *, max_pixels: int = MAX_PIXELS) -> Frame:
    """Read a still that is in memory, as read_still reads a file.

    name: where it came from, for messages. Raises BadInput.
    """
    if not content:
        raise BadInput(name, "the file is empty")
    with safe_decoding_of_bytes(name, max_pixels):
        return _read(content, max_pixels)


def _read(source: Path | bytes, max_pixels: int) -> Frame:
    if needs_vips(source) and not _is_lab(source):
        return read_with_vips(source, max_pixels)
    with Image.open(_file(source), formats=readable_formats()) as image:
        if image.format in {"JPEG", "MPO"}:
            check_jpeg(source)
        return _decode(image)


def _file(source: Path | bytes) -> Path | BytesIO:
    return BytesIO(source) if isinstance(source, bytes) else source


def still_size(url: str) -> tuple[int, int]:
    """Return an upright still's width and height without decoding it. Raises BadInput."""
    if is_blank(url):
        blank = parse_blank(url)
        return blank.width, blank.height
    with (
        safe_decoding(url, MAX_PIXELS) as path,
        Image.open(path, formats=readable_formats()) as image,
    ):
        width, height = image.size
        is_on_its_side = _orientation(image)[0] in _QUARTER_TURNS
        return (height, width) if is_on_its_side else (width, height)


def _is_lab(source: Path | bytes) -> bool:
    """Return whether this is 8-bit Lab, which only Pillow reads."""
    try:
        with Image.open(_file(source), formats=("TIFF",)) as image:
            return image.mode == "LAB"
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception:  # noqa: BLE001 - libvips reports what is wrong, if anything
        return False


def _decode(image: Image.Image) -> Frame:
    image.load()
    image, notes = _turn_upright(image)
    if image.mode in {"I", "F"} or image.mode.startswith("I;16"):
        return _from_grey(np.asarray(image), notes)
    profile = image.info.get("icc_profile")
    image, alpha = _split_alpha(image)
    image, colour_notes = to_srgb(image, profile)
    return Frame(from_levels(np.asarray(image), 255), alpha, notes=notes + colour_notes)


def _turn_upright(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    orientation, notes = _orientation(image)
    transpose = _TRANSPOSES.get(orientation)
    return (image if transpose is None else image.transpose(transpose)), notes


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    """Return the EXIF orientation, 1 if there is none, and a note if EXIF is damaged."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1), ()
    except Exception as error:  # noqa: BLE001 - bad metadata must not refuse a picture
        return 1, (f"EXIF ignored: {one_line(error)}",)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, np.ndarray | None]:
    """Return the picture without alpha, in a mode that colour profiles support, and the alpha."""
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in _GREY else "RGBA")
        alpha = from_levels(np.asarray(image.getchannel("A")), 255)
        return image.convert(image.mode[:-1]), alpha
    if image.mode in {"L", "RGB", "CMYK", "LAB"}:
        return image, None
    return image.convert("L" if image.mode in _GREY else "RGB"), None


def _from_grey(samples: np.ndarray, notes: tuple[str, ...]) -> Frame:
    """Return a picture from grey samples: integers 0..65535, or fractions 0..1."""
    peak = 1 if samples.dtype.kind == "f" else 65535
    if not (samples.min() >= 0 and samples.max() <= peak):
        extent = f"{samples.min():g} to {samples.max():g}"
        raise ValueError(f"its samples range from {extent}; the limit is 0 to {peak}")
    grey = from_levels(samples, peak)
    return Frame(np.repeat(grey[..., None], 3, axis=2), depth=16, notes=notes)
