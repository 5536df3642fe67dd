"""Writes stills, each with its record inside, whole or not at all."""

import hashlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final

import numpy as np
import pyvips
from PIL import ExifTags, Image

from farm.errors import BadOutput
from farm.media.frame import Frame, to_levels
from farm.media.record import to_text
from farm.media.still_formats import WRITABLE, StillFormat, check_side
from farm.media.still_record import add_to_jpeg, add_to_png
from farm.storage import open_whole, suffix

__all__ = ["write_still", "write_working"]

_QUALITY: Final = 95


def write_still(url: str, frame: Frame, record: Mapping[str, object]) -> str:
    """Write a still in the format its suffix names and return the file's SHA-256.

    PNG and TIFF keep 16 bits per channel; JPEG (4:4:4) and WebP store 8, at quality 95. JPEG drops
    alpha and shows the pixels it covered. Equal input gives equal bytes.
    record: anything JSON can represent; read_record returns it.

    Raises BadOutput if the suffix is unsupported, the picture is too large for the format or the
    path cannot be written, StorageFailed if the storage fails, ValueError if a pixel is NaN.
    """
    still_format = WRITABLE.get(suffix(url).lower())
    if still_format is None:
        raise BadOutput(url, f"its suffix must be one of {', '.join(WRITABLE)}")
    check_side(url, *frame.pixels.shape[:2])
    encoded = _ENCODERS[still_format.name](_levels(frame, still_format), to_text(record))
    with open_whole(url) as file:
        file.write(encoded)
    return hashlib.sha256(encoded).hexdigest()


def write_working(url: str, frame: Frame, record: Mapping[str, object]) -> str:
    """Write a working picture: an uncompressed TIFF, fast to write and read; see write_still."""
    encoded = _tiff(_levels(frame, WRITABLE[".tif"]), to_text(record), compression="none")
    with open_whole(url) as file:
        file.write(encoded)
    return hashlib.sha256(encoded).hexdigest()


def _levels(frame: Frame, still_format: StillFormat) -> np.ndarray:
    """Return [height, width, 3 or 4] integers at the depth that the format stores."""
    depth = min(frame.depth, max(still_format.depths))
    pixels = to_levels(frame.pixels, depth)
    if frame.alpha is None or not still_format.has_alpha:
        return pixels
    return np.dstack((pixels, to_levels(frame.alpha, depth)))


def _png(levels: np.ndarray, text: str) -> bytes:
    return add_to_png(bytes(_vips(levels).pngsave_buffer(filter="up")), text)


def _tiff(levels: np.ndarray, text: str, compression: str = "deflate") -> bytes:
    image = _vips(levels).copy()
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    return bytes(image.tiffsave_buffer(compression=compression, predictor="horizontal"))


def _vips(levels: np.ndarray) -> pyvips.Image:
    interpretation = "rgb16" if levels.dtype == np.uint16 else "srgb"
    return pyvips.Image.new_from_array(levels, interpretation=interpretation)


def _jpeg(levels: np.ndarray, text: str) -> bytes:
    file = BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=_QUALITY, subsampling="4:4:4")
    return add_to_jpeg(file.getvalue(), text)


def _webp(levels: np.ndarray, text: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = text
    file = BytesIO()
    Image.fromarray(levels).save(file, "WEBP", quality=_QUALITY, exact=True, exif=exif)
    return file.getvalue()


_ENCODERS: Final[dict[str, Callable[[np.ndarray, str], bytes]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WebP": _webp,
    "TIFF": _tiff,
}
