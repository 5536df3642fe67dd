"""The shape of pixels in Matroska and WebM, whose writer in libav cannot be told of it from here.

The picture's track is written with a title that takes as many bytes as the shape will. Once the
file is whole, the title goes and the shape comes, and nothing else moves.

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

__all__ = ["ROOM", "write_shape"]

ROOM: Final = "pixel shape"
"""The track's title until the shape is written."""

_TITLE: Final = b"\x53\x6e\x8b" + ROOM.encode()
_TRACKS, _VIDEO, _UNIT = 0x1654AE6B, 0xE0, 0x54B2
_CRC: Final = b"\xbf\x84"
_PIXELS: Final = b"\x54\xb2\x81\x00"
"""The unit of what follows; where libav is told of no shape, it writes that none is known."""

_WIDTH, _HEIGHT = b"\x54\xb0\x84", b"\x54\xba\x84"
"""Elements of four bytes: pixels that the picture is shown with."""

_MOST_HEADER: Final = 2**20
_MOST_LINES: Final = 2**15


def write_shape(path: Path, height: int, width: int, aspect: Fraction) -> None:
    """Say in a film of height x width pixels how wide one is by its height.

    The film's title of the picture's track must be ROOM.
    """
    with path.open("r+b") as file:
        header = file.read(_MOST_HEADER)
        title = header.find(_TITLE)
        if title < 0:
            raise FarmBug(f"{path}: its track has no room for the shape of its pixels")
        behind = title + len(_TITLE)
        video = next(e for e in _elements(header, behind, len(header)) if e.number == _VIDEO)
        parts = _elements(header, video.begin, video.end)
        kept = [_PIXELS if e.number == _UNIT else header[e.start : e.end] for e in parts]
        content = b"".join(kept) + _shown(height, width, aspect)
        shaped = header[:title] + header[behind : video.start] + _replaced(video, content)
        file.seek(0)
        file.write(_summed_again(shaped + header[len(shaped) :]))


def _summed_again(header: bytes) -> bytes:
    """Return the file's beginning with the checksum of its tracks put right."""
    _, segment = islice(_elements(header, 0, len(header)), 2)
    inner = _elements(header, segment.begin, len(header))
    tracks = next(element for element in inner if element.number == _TRACKS)
    start = tracks.begin + len(_CRC)
    if header[tracks.begin : start] != _CRC:
        return header
    checksum = zlib.crc32(header[start + 4 : tracks.end]).to_bytes(4, "little")
    return header[:start] + checksum + header[start + 4 :]


class _Element(NamedTuple):
    """Where an element begins, its content begins, and both end."""

    number: int
    start: int
    begin: int
    end: int


def _elements(header: bytes, place: int, end: int) -> Iterator[_Element]:
    while place < end:
        number, behind = _number(header, place)
        size, begin = _number(header, behind)
        size -= 1 << 7 * (begin - behind)  # the bit that says how many bytes it takes
        yield _Element(number, place, begin, begin + size)
        place = begin + size


def _number(header: bytes, place: int) -> tuple[int, int]:
    """Return a number of one to eight bytes, and the place behind it."""
    end = place + 9 - header[place].bit_length()
    return int.from_bytes(header[place:end]), end


def _replaced(element: _Element, content: bytes) -> bytes:
    """Return an element of another content, its size in as many bytes."""
    number = element.number.to_bytes((element.number.bit_length() + 7) // 8)
    length = element.begin - element.start - len(number)
    if len(content) >= 2 ** (7 * length) - 1:
        raise FarmBug(f"{len(content)} bytes are no content of element {number.hex()}")
    return number + (len(content) | 1 << 7 * length).to_bytes(length) + content


def _shown(height: int, width: int, aspect: Fraction) -> bytes:
    """Return the elements that say how the picture is shown: no smaller than it is."""
    ratio = (aspect * width / height).limit_denominator(_MOST_LINES)
    times = ceil(max(Fraction(width, ratio.numerator), Fraction(height, ratio.denominator)))
    across, down = ratio.numerator * times, ratio.denominator * times
    return _WIDTH + across.to_bytes(4) + _HEIGHT + down.to_bytes(4)
