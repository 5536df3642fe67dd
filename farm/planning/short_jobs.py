"""Tells jobs that are planned within moments from those whose inputs take long to find and to read."""

import glob
from typing import Final

from farm import storage
from farm.errors import BadParameter
from farm.media.blank import is_blank
from farm.media.film import is_film_name
from farm.media.sequence import is_sequence
from farm.media.still_formats import is_readable
from farm.model.frame_range import FrameRange
from farm.model.job import JobSpec
from farm.model.texts import texts_in

__all__ = ["is_short"]

FEW: Final = 8
"""The most stills, or frames made from one, of a short job."""


def is_short(spec: JobSpec) -> bool:
    """Return whether a job renders a few stills of this machine, and needs nothing from elsewhere.

    Looks at the names alone, and at the frames, of which an endless film makes many from one still.
    """
    if spec.frames and not _are_few(spec.frames):
        return False
    are_few = len(spec.inputs) <= FEW and all(map(_is_still, spec.inputs))
    return are_few and not any(map(storage.is_remote, texts_in(spec.params)))


def _are_few(frames: str) -> bool:
    try:
        last = FrameRange.parse(frames).last
    except BadParameter:
        return True  # planning refuses it at once
    return last is not None and last <= FEW


def _is_still(given: str) -> bool:
    stands_for_many = is_sequence(given) or glob.has_magic(given) or is_film_name(given)
    return is_blank(given) or not (
        storage.is_remote(given) or stands_for_many or not is_readable(given)
    )
