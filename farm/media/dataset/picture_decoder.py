"""Decodes pictures for training: uint8 RGB, upright, in sRGB, transparent pixels on white."""

from io import BytesIO
from threading import Lock
from typing import Final
from warnings import catch_warnings, simplefilter

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from farm.errors import BadInput
from farm.media.bounds import safe_decoding_of_bytes
from farm.media.frame import Frame, to_levels
from farm.media.still_formats import readable_formats
from farm.media.still_reader import read_encoded

__all__ = ["Decoder", "Levels", "check_bytes", "decode"]

Levels = UInt8[np.ndarray, "height width 3"]

_MAX_BYTES: Final = 2**28
"""Largest encoded picture, in bytes. It is in memory as a whole, several at a time."""

_MAX_PLAIN_PIXELS: Final = 2**24


class Decoder:
    """Decodes each picture carefully once, and faster from then on if that gives the same pixels.

    The careful way checks a JPEG for damage, applies orientation, colour profile and alpha, and
    lets one thread decode at a time. For most pictures of a data set all of it changes nothing.
    Any number of threads may use a decoder at once.
    """

    def __init__(self) -> None:
        self._plain: set[tuple[str, str]] = set()
        self._lock = Lock()

    def decode(self, name: str, content: bytes, digest: str) -> Levels:
        """Return the pixels of a picture. Raises BadInput.

        name, digest: together they stand for the content.
        """
        key = (name, digest)
        with self._lock:
            is_plain = key in self._plain
        if is_plain:
            return _decode_plain(content)
        levels = decode(name, content)
        if _is_plain(name, content, levels):
            with self._lock:
                self._plain.add(key)
        return levels


def check_bytes(name: str, size: int) -> None:
    """Raise BadInput if an encoded picture of this many bytes is too large to train on."""
    if size > _MAX_BYTES:
        raise BadInput(name, f"{size:,} bytes; the limit for a picture is {_MAX_BYTES:,}")


def decode(name: str, content: bytes) -> Levels:
    """Return the pixels of a picture, decoded carefully. Raises BadInput."""
    return _on_white(read_encoded(name, content))


def _on_white(frame: Frame) -> Levels:
    if frame.alpha is None:
        return to_levels(frame.pixels, 8)
    alpha = frame.alpha[..., None]
    return to_levels(frame.pixels * alpha + (1 - alpha), 8)


def _is_plain(name: str, content: bytes, levels: Levels) -> bool:
    """Return whether the fast way gives the same pixels, without a warning."""
    if levels.shape[0] * levels.shape[1] > _MAX_PLAIN_PIXELS:
        return False
    try:
        with safe_decoding_of_bytes(name, _MAX_PLAIN_PIXELS), catch_warnings():
            simplefilter("error")
            return np.array_equal(_decode_plain(content), levels)
    except BadInput:
        return False


def _decode_plain(content: bytes) -> Levels:
    with Image.open(BytesIO(content), formats=readable_formats()) as image:
        return np.array(image.convert("RGB"))
