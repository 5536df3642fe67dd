"""Writes the pixel aspect ratio of Matroska and WebM, which PyAV cannot pass to the muxer.

The muxer writes a placeholder title of the right size for the video track. In the finished file,
the title is removed and the aspect ratio added, so that nothing else moves.

Source: RFC 8794 (EBML), sections 4 to 6 and 11.3.1 (CRC-32); RFC 9559 (Matroska), DisplayWidth and DisplayHeight.
"""

import zlib
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Final, NamedTuple

from farm.errors import FarmBug

__all__ = ["PLACEHOLDER", "write_aspect"]

PLACEHOLDER: Final = "pixel shape"
"""The track's title until the aspect ratio replaces it; as long as needed to keep the file's size."""

_TITLE: Final = b"\x53\x6e\x8b" + PLACEHOLDER.encode()
_TRACKS, _VIDEO, _DISPLAY_UNIT = 0x1654AE6B, 0xE0, 0x54B2
_CRC: Final = b"\xbf\x84"
_UNIT_IS_PIXELS: Final = b"\x54\xb2\x81\x00"
"""The display unit; without an aspect ratio, libav writes that it is unknown."""

_DISPLAY_WIDTH, _DISPLAY_HEIGHT = b"\x54\xb0\x84", b"\x54\xba\x84"
"""Element headers of the display size; four bytes of content follow each."""

_MAX_HEADER: Final = 2**20
_MAX_TERM: Final = 2**15


def write_aspect(path: Path, height: int, width: int, aspect: Fraction) -> None:
    """Store the pixel aspect ratio, width over height, in a film of height x width pixels.

    The title of its video track must be PLACEHOLDER.
    """
    with path.open("r+b") as file:
        header = file.read(_MAX_HEADER)
        title = header.find(_TITLE)
        if title < 0:
            raise FarmBug(f"{path}: its video track has no placeholder for the pixel aspect ratio")
        after_title = title + len(_TITLE)
        following = _elements(header, after_title, len(header))
        video = next(element for element in following if element.number == _VIDEO)
        content = _video_content(header, video) + _display_size(height, width, aspect)
        before_video = header[:title] + header[after_title : video.start]
        changed = before_video + _with_content(video, content)
        file.seek(0)
        file.write(_update_checksum(changed + header[len(changed) :]))


def _video_content(header: bytes, video: "_Element") -> bytes:
    """Return the elements inside the video element, with pixels as the display unit."""
    inner = _elements(header, video.begin, video.end)
    return b"".join(
        _UNIT_IS_PIXELS if e.number == _DISPLAY_UNIT else header[e.start : e.end] for e in inner
    )


def _update_checksum(header: bytes) -> bytes:
    """Return the start of the file with the checksum of its tracks recomputed, if it has one."""
    _, segment = islice(_elements(header, 0, len(header)), 2)
    inner = _elements(header, segment.begin, len(header))
    tracks = next(element for element in inner if element.number == _TRACKS)
    start = tracks.begin + len(_CRC)
    if header[tracks.begin : start] != _CRC:
        return header
    checksum = zlib.crc32(header[start + 4 : tracks.end]).to_bytes(4, "little")
    return header[:start] + checksum + header[start + 4 :]


class _Element(NamedTuple):
    """Offsets of an element: of its start, of its content, and of the end of both."""

    number: int
    start: int
    begin: int
    end: int


def _elements(header: bytes, start: int, end: int) -> Iterator[_Element]:
    while start < end:
        number, after_number = _read_number(header, start)
        size, begin = _read_number(header, after_number)
        size -= 1 << 7 * (begin - after_number)  # the marker bit of the size's length
        yield _Element(number, start, begin, begin + size)
        start = begin + size


def _read_number(header: bytes, start: int) -> tuple[int, int]:
    """Return a number of one to eight bytes, marker bit included, and the offset after it."""
    end = start + 9 - header[start].bit_length()
    return int.from_bytes(header[start:end]), end


def _with_content(element: _Element, content: bytes) -> bytes:
    """Return the element with other content; its size field keeps its length."""
    number = element.number.to_bytes((element.number.bit_length() + 7) // 8)
    length = element.begin - element.start - len(number)
    if len(content) >= 2 ** (7 * length) - 1:
        raise FarmBug(f"{len(content)} bytes do not fit into element {number.hex()}")
    return number + (len(content) | 1 << 7 * length).to_bytes(length) + content


def _display_size(height: int, width: int, aspect: Fraction) -> bytes:
    """Return the elements for the display size, which is at least the picture's size."""
    ratio = (aspect * width / height).limit_denominator(_MAX_TERM)
    factor = ceil(max(Fraction(width, ratio.numerator), Fraction(height, ratio.denominator)))
    across, down = ratio.numerator * factor, ratio.denominator * factor
    return _DISPLAY_WIDTH + across.to_bytes(4) + _DISPLAY_HEIGHT + down.to_bytes(4)
