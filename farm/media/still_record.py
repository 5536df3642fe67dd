"""Stores a record inside a still, in the field its format has for text.

PNG: an iTXt chunk named farm. JPEG: as many comments as the text needs. WebP, TIFF: the
ImageDescription of EXIF; GIF, which films are written in: a comment. The text is ASCII of any length.
"""

import struct
from typing import Any, Final
from zlib import crc32

from PIL import ExifTags, Image

from farm.media.bounds import safe_decoding
from farm.media.record import KEY, from_text
from farm.media.still_formats import MAX_PIXELS, readable_formats

__all__ = ["add_to_jpeg", "add_to_png", "read_record"]

_PNG_HEADER_BYTES: Final = 33
_COMMENT: Final = b"\xff\xfe"
_COMMENT_PREFIX: Final = b"farm:"
_COMMENT_BYTES: Final = 65533 - len(_COMMENT_PREFIX)


def add_to_png(encoded: bytes, text: str) -> bytes:
    """Return the PNG file with the text added."""
    body = b"iTXt" + KEY.encode() + b"\0\0\0\0\0" + text.encode("ascii")
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", crc32(body))
    return encoded[:_PNG_HEADER_BYTES] + chunk + encoded[_PNG_HEADER_BYTES:]


def add_to_jpeg(encoded: bytes, text: str) -> bytes:
    """Return the JPEG file, which must start with a JFIF header, with the text added."""
    content = text.encode("ascii")
    starts = range(0, len(content), _COMMENT_BYTES)
    pieces = [_COMMENT_PREFIX + content[start : start + _COMMENT_BYTES] for start in starts]
    comments = (_COMMENT + struct.pack(">H", len(piece) + 2) + piece for piece in pieces)
    end_of_header = 4 + struct.unpack_from(">H", encoded, 4)[0]
    return encoded[:end_of_header] + b"".join(comments) + encoded[end_of_header:]


def read_record(url: str) -> dict[str, Any] | None:
    """Return the record in a still, or None if the farm did not write one.

    Raises BadInput if the file is not a picture.
    """
    with (
        safe_decoding(url, MAX_PIXELS) as path,
        Image.open(path, formats=readable_formats()) as image,
    ):
        text = _read_text(image)
    return from_text(text)


def _read_text(image: Image.Image) -> str:
    if image.format == "PNG":
        return str(image.info.get(KEY, ""))
    if image.format in {"JPEG", "MPO"}:
        comments = (data for name, data in getattr(image, "applist", ()) if name == "COM")
        pieces = [
            data.removeprefix(_COMMENT_PREFIX)
            for data in comments
            if data.startswith(_COMMENT_PREFIX)
        ]
        return b"".join(pieces).decode("ascii", "replace")
    if image.format == "GIF":  # of one frame; those with more are films
        return bytes(image.info.get("comment", b"")).decode("ascii", "replace")
    return str(image.getexif().get(ExifTags.Base.ImageDescription, ""))
