"""Measures how much a film flickers: what changes between frames beyond the motion in it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from farm.errors import BadInput
from farm.media.film import FilmReader, read_film
from farm.media.flow import motion
from farm.media.frame_match import matching_frames
from farm.media.shots import ShotFinder, cuts_among
from farm.media.still_reader import read_still
from farm.model.film import Film, Moment

__all__ = ["PAIRS", "Flicker", "compare", "frames_of", "measure_flicker"]

FrameLocation = tuple[str, Moment | None]
"""A film and a moment in it, or a still and None."""

PAIRS: Final = 240
"""Most pairs of neighbouring frames to compare, spread evenly, so that long films take minutes."""

_MAX_HEIGHT: Final = 360
_MIN_TRUST: Final = 0.9


@dataclass(frozen=True)
class Flicker:
    """Mean absolute difference, 0..1, between each frame and the warped previous frame.

    Pixels that come into view are ignored. rendered, source: of each film. pairs: of frames compared.
    """

    rendered: float
    source: float
    pairs: int


def frames_of(film: Film) -> list[FrameLocation]:
    """Return the locations of a film's frames."""
    return [(film.url, film.moment(index)) for index in range(len(film.times))]


def measure_flicker(source: str, rendered: str) -> Flicker:
    """Return the flicker of a film rendered from all frames of source, or from a range of them.

    Raises BadInput if either is not a film, or the rendered frames cannot be found in the source.
    """
    shots = ShotFinder()
    source_film, rendered_film = read_film(source, on_frame=shots.add), read_film(rendered)
    chosen = matching_frames(source_film, rendered_film)
    frames = frames_of(source_film)
    cuts = cuts_among(shots.cuts, chosen)
    return compare([frames[index] for index in chosen], frames_of(rendered_film), cuts)


def compare(
    source: Sequence[FrameLocation], rendered: Sequence[FrameLocation], cuts: Collection[int]
) -> Flicker:
    """Return the flicker of rendered frames, along the motion of the source frames.

    source, rendered: one for one; sizes may differ. cuts: indices of the frames that start a shot. Raises BadInput.
    """
    chosen = list(_pairs(len(source), cuts))
    if not chosen:
        raise BadInput(rendered[0][0], "no shot has two frames; there is nothing to compare")
    reader, sums = FilmReader(), np.zeros(2)
    for index in chosen:
        sums += _compare_pair(
            reader, source[index - 1 : index + 1], rendered[index - 1 : index + 1]
        )
    reader.close()
    of_rendered, of_source = sums / len(chosen)
    return Flicker(float(of_rendered), float(of_source), len(chosen))


def _pairs(count: int, cuts: Collection[int]) -> Iterator[int]:
    """Yield the indices of the frames to compare with the previous frame."""
    within_shots = [index for index in range(1, count) if index not in cuts]
    step = max(1, len(within_shots) / PAIRS)
    return (within_shots[int(n * step)] for n in range(min(PAIRS, len(within_shots))))


def _compare_pair(
    reader: FilmReader, source: Sequence[FrameLocation], rendered: Sequence[FrameLocation]
) -> tuple[float, float]:
    previous, current = (_read_small(reader, location) for location in source)
    flow = motion(previous, current)
    trusted = flow.trust > _MIN_TRUST
    if not trusted.any():
        return 0.0, 0.0
    size = current.shape[:2]
    before, after = (_read_small(reader, location, size) for location in rendered)
    return (
        float(np.abs(after - flow.carry(before))[trusted].mean()),
        float(np.abs(current - flow.carry(previous))[trusted].mean()),
    )


def _read_small(
    reader: FilmReader, location: FrameLocation, size: tuple[int, ...] | None = None
) -> np.ndarray:
    """Return a frame of the given height and width, or of at most 360 rows."""
    url, moment = location
    pixels = (reader.read(url, moment) if moment else read_still(url)).pixels
    height, width = pixels.shape[:2]
    if size is None:
        scale = min(1.0, _MAX_HEIGHT / height)
        size = (round(height * scale), round(width * scale))
    if size == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA))
