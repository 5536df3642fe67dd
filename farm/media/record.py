"""The record inside a picture: how it was made, as JSON in the place its format has for text.

PNG: an iTXt chunk named farm. JPEG: comments, as many as the text needs. WebP, TIFF: the
ImageDescription of EXIF. The text is ASCII, whatever the record holds, and of any length.
"""

import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from zlib import crc32

from PIL import ExifTags, Image

from farm.media.bounds import guarded
from farm.media.formats import MAX_PIXELS, readable_formats

__all__ = ["add_to_jpeg", "add_to_png", "read_record", "to_text"]

_NAME: Final = "farm"
_END_OF_PNG_HEADER: Final = 33
_COMMENT: Final = b"\xff\xfe"
_COMMENT_MARK: Final = b"farm:"
_COMMENT_BYTES: Final = 65533 - len(_COMMENT_MARK)


def to_text(record: Mapping[str, object]) -> str:
    """Return the record as JSON in ASCII; equal records give equal text.

    Raises TypeError or ValueError for what JSON cannot hold.
    """
    return json.dumps({_NAME: dict(record)}, sort_keys=True, allow_nan=False)


def add_to_png(encoded: bytes, text: str) -> bytes:
    """Return a PNG file with the text in it."""
    body = b"iTXt" + _NAME.encode() + b"\0\0\0\0\0" + text.encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", crc32(body))
    return encoded[:_END_OF_PNG_HEADER] + chunk + encoded[_END_OF_PNG_HEADER:]


def add_to_jpeg(encoded: bytes, text: str) -> bytes:
    """Return a JPEG file with the text in it. encoded: starts with a JFIF header."""
    content = text.encode("ascii")
    starts = range(0, len(content), _COMMENT_BYTES)
    pieces = [_COMMENT_MARK + content[start : start + _COMMENT_BYTES] for start in starts]
    comments = (_COMMENT + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
    end_of_header = 4 + struct.unpack_from(">H", encoded, 4)[0]
    return encoded[:end_of_header] + b"".join(comments) + encoded[end_of_header:]


def read_record(url: str) -> dict[str, Any] | None:
    """Return the record that a picture carries, or None where it carries none of ours.

    Raises BadInput where it is no picture.
    """
    with (
        guarded(url, MAX_PIXELS) as path,
        Image.open(path, formats=readable_formats()) as image,
    ):
        text = _find_text(image)
    with suppress(ValueError, RecursionError):
        content = json.loads(text)
        if isinstance(content, dict) and isinstance(content.get(_NAME), dict):
            return dict(content[_NAME])
    return None


def _find_text(image: Image.Image) -> str:
    if image.format == "PNG":
        return str(image.info.get(_NAME, ""))
    if image.format in {"JPEG", "MPO"}:
        comments = (data for name, data in getattr(image, "applist", ()) if name == "COM")
        pieces = [data[len(_COMMENT_MARK) :] for data in comments if data.startswith(_COMMENT_MARK)]
        return b"".join(pieces).decode("ascii", "replace")
    return str(image.getexif().get(ExifTags.Base.ImageDescription, ""))
