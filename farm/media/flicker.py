"""How much a film flickers: what changes from frame to frame though its things only move."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from farm.errors import BadInput
from farm.media.film import FilmReader, read_film
from farm.media.flow import motion
from farm.media.shots import ShotFinder
from farm.media.stills import read_still
from farm.model.film import Film, Moment

__all__ = ["PAIRS", "Flicker", "compare", "frames_of", "measure_flicker"]

Place = tuple[str, Moment | None]
"""Where a frame is read: a film and a moment of it, or a still."""

PAIRS: Final = 240
"""Pairs of neighbours that are looked at, spread over the film, so that hours take minutes."""

_LINES: Final = 360
_TRUSTED: Final = 0.9


@dataclass(frozen=True)
class Flicker:
    """Mean absolute difference, 0..1, between a frame and the one before it, moved along.

    Pixels that come into view do not count. rendered, source: of the two films. pairs: looked at.
    """

    rendered: float
    source: float
    pairs: int


def frames_of(film: Film) -> list[Place]:
    """Return where a film's frames are read."""
    return [(film.url, film.moment(index)) for index in range(len(film.times))]


def measure_flicker(source: str, rendered: str) -> Flicker:
    """Return the flicker of a film made from another, frame for frame.

    Raises BadInput where either is no film, or they differ in length.
    """
    shots = ShotFinder()
    film, made = read_film(source, see=shots.see), read_film(rendered)
    if len(film.times) != len(made.times):
        raise BadInput(
            rendered,
            f"{len(made.times)} frames, and {source} has {len(film.times)}; give its source",
        )
    return compare(frames_of(film), frames_of(made), shots.cuts)


def compare(source: Sequence[Place], rendered: Sequence[Place], cuts: Collection[int]) -> Flicker:
    """Return the flicker of frames made one for one from others, whose motion is the measure.

    cuts: indices of frames that begin a shot. Sizes may differ. Raises BadInput.
    """
    chosen = list(_pairs(len(source), cuts))
    if not chosen:
        raise BadInput(rendered[0][0], "no two frames of one shot; there is nothing to compare")
    reader, sums = FilmReader(), np.zeros(2)
    for index in chosen:
        sums += _pair(reader, source[index - 1 : index + 1], rendered[index - 1 : index + 1])
    reader.close()
    found, own = sums / len(chosen)
    return Flicker(float(found), float(own), len(chosen))


def _pairs(count: int, cuts: Collection[int]) -> Iterator[int]:
    """Yield the indices of frames that are compared with the one before."""
    within = [index for index in range(1, count) if index not in cuts]
    step = max(1, len(within) / PAIRS)
    return (within[int(place * step)] for place in range(min(PAIRS, len(within))))


def _pair(
    reader: FilmReader, source: Sequence[Place], rendered: Sequence[Place]
) -> tuple[float, float]:
    before, after = (_small(reader, place) for place in source)
    moved = motion(before, after)
    trusted = moved.trust > _TRUSTED
    if not trusted.any():
        return 0.0, 0.0
    was, now = (_small(reader, place, after.shape[:2]) for place in rendered)
    return (
        float(np.abs(now - moved.carry(was))[trusted].mean()),
        float(np.abs(after - moved.carry(before))[trusted].mean()),
    )


def _small(reader: FilmReader, place: Place, size: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a frame of so many rows and columns, or of no more than 360 rows."""
    url, moment = place
    pixels = (reader.read(url, moment) if moment else read_still(url)).pixels
    height, width = pixels.shape[:2]
    if size is None:
        scale = min(1.0, _LINES / height)
        size = (round(height * scale), round(width * scale))
    if size == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA))
