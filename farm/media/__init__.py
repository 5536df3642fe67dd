"""Reads and writes stills, and tells stills from films and sequences."""

from farm.media.film import is_film
from farm.media.frame import Frame, to_levels
from farm.media.sequence import is_sequence
from farm.media.still_formats import MAX_PIXELS, WRITABLE, check_side
from farm.media.still_reader import read_still, still_size
from farm.media.still_record import read_record
from farm.media.still_writer import write_still, write_working

__all__ = [
    "MAX_PIXELS",
    "WRITABLE",
    "Frame",
    "check_side",
    "is_film",
    "is_sequence",
    "read_record",
    "read_still",
    "still_size",
    "to_levels",
    "write_still",
    "write_working",
]
