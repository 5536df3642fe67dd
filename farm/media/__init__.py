"""Stills in and out: what there is to render, its pixels, and the files they become."""

from farm.media.encode import write_still
from farm.media.formats import MAX_PIXELS, WRITABLE
from farm.media.frame import Frame
from farm.media.inputs import Source, list_inputs
from farm.media.record import read_record
from farm.media.stills import read_still
from farm.media.targets import check_output, target_for

__all__ = [
    "MAX_PIXELS",
    "WRITABLE",
    "Frame",
    "Source",
    "check_output",
    "list_inputs",
    "read_record",
    "read_still",
    "target_for",
    "write_still",
]
