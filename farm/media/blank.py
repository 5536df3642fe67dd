"""Flat pictures the farm draws: ``blank:WIDTHxHEIGHT`` or ``blank:WIDTHxHEIGHT:#rrggbb``."""

import re
from dataclasses import dataclass

import numpy as np

from farm.errors import BadInput
from farm.media.frame import Frame, from_levels
from farm.media.still_formats import MAX_PIXELS

__all__ = ["Blank", "is_blank", "parse_blank", "read_blank"]

_SYNTAX = re.compile(r"blank:(\d{1,9})x(\d{1,9})(?::#([0-9a-fA-F]{6}))?")
_MID_GREY = "808080"


@dataclass(frozen=True)
class Blank:
    """A picture of one colour. height, width: pixels. colour: rrggbb."""

    height: int
    width: int
    colour: str


def is_blank(url: str) -> bool:
    return url.startswith("blank:")


def parse_blank(url: str, max_pixels: int = MAX_PIXELS) -> Blank:
    """Parse a ``blank:`` input. Raises BadInput."""
    match = _SYNTAX.fullmatch(url)
    if match is None:
        raise BadInput(url, "write blank:WIDTHxHEIGHT or blank:WIDTHxHEIGHT:#rrggbb")
    blank = Blank(int(match[2]), int(match[1]), (match[3] or _MID_GREY).lower())
    pixels = blank.height * blank.width
    if not 0 < pixels <= max_pixels:
        raise BadInput(url, f"it has {pixels} pixels; give between 1 and {max_pixels}")
    return blank


def read_blank(url: str, max_pixels: int = MAX_PIXELS) -> Frame:
    """Draw a ``blank:`` input. Raises BadInput."""
    blank = parse_blank(url, max_pixels)
    colour = from_levels(np.frombuffer(bytes.fromhex(blank.colour), np.uint8), 255)
    return Frame(np.tile(colour, (blank.height, blank.width, 1)))
