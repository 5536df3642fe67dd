"""Writing a still: quantised once, its record inside, whole or absent."""

import hashlib
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final

import numpy as np
import pyvips
from PIL import ExifTags, Image

from farm.errors import BadOutput
from farm.media.formats import WRITABLE, Writable
from farm.media.frame import Frame, to_levels
from farm.media.record import add_to_jpeg, add_to_png, to_text
from farm.storage import open_whole, output_path

__all__ = ["write_still", "write_working"]

_QUALITY: Final = 95


def write_still(url: str, frame: Frame, record: Mapping[str, object]) -> str:
    """Write a still in the format its suffix names and return the file's SHA-256.

    A frame of 16 bits stays so in PNG and TIFF; JPEG (4:4:4) and WebP have 8, at quality 95.
    Alpha is kept, except in JPEG, where it is dropped: what lies under it shows. Equal input
    gives equal bytes.
    record: anything JSON holds; read_record gives it back.

    Raises BadOutput where the suffix or the place cannot be written or the picture is too large
    for the format, StorageFailed where writing failed on the way, ValueError where pixels are
    not numbers.
    """
    path = output_path(url)
    form = WRITABLE.get(path.suffix.lower())
    if form is None:
        raise BadOutput(url, f"its suffix must be one of {', '.join(WRITABLE)}")
    _check_sides(url, frame, form)
    encoded = _ENCODERS[form.name](_levels(frame, form), to_text(record))
    with open_whole(path) as file:
        file.write(encoded)
    return hashlib.sha256(encoded).hexdigest()


def write_working(url: str, frame: Frame, record: Mapping[str, object]) -> str:
    """Write a TIFF that is quick to write and to read, and not kept; as write_still else."""
    encoded = _tiff(_levels(frame, WRITABLE[".tif"]), to_text(record), compression="none")
    with open_whole(output_path(url)) as file:
        file.write(encoded)
    return hashlib.sha256(encoded).hexdigest()


def _check_sides(url: str, frame: Frame, form: Writable) -> None:
    height, width = frame.pixels.shape[:2]
    if max(height, width) > form.max_side:
        raise BadOutput(
            url,
            f"{width}x{height} pixels; {form.name} holds {form.max_side} a side, write .png or .tif",
        )


def _levels(frame: Frame, form: Writable) -> np.ndarray:
    """Return [height, width, 3 or 4] whole numbers at the depth the format keeps."""
    depth = min(frame.depth, max(form.depths))
    pixels = to_levels(frame.pixels, depth)
    if frame.alpha is None or not form.has_alpha:
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
