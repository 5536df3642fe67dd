"""Pictures in and out: what there is to render, its pixels, and the files they become."""

from farm.media.encode import write_still, write_working
from farm.media.film import is_film
from farm.media.formats import MAX_PIXELS, WRITABLE
from farm.media.frame import Frame, to_levels
from farm.media.record import read_record
from farm.media.sequence import is_sequence
from farm.media.stills import read_still, still_size

__all__ = [
    "MAX_PIXELS",
    "WRITABLE",
    "Frame",
    "is_film",
    "is_sequence",
    "read_record",
    "read_still",
    "still_size",
    "to_levels",
    "write_still",
    "write_working",
]
