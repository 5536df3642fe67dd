"""Measures how much a film flickers, beyond the motion in it, and what it makes of its source."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

import cv2
import numpy as np

from farm.errors import BadInput
from farm.media.film import FilmReader, read_film
from farm.media.flow import Pixels, motion
from farm.media.frame import Frame
from farm.media.frame_match import matching_frames
from farm.media.resample import resample
from farm.media.shots import ShotFinder, cuts_among
from farm.media.still_reader import read_still
from farm.model.film import Film, Moment

__all__ = ["PAIRS", "Flicker", "FrameFigures", "compare", "frames_of", "measure_flicker"]

FrameLocation = tuple[str, Moment | None]
"""A film and a moment in it, or a still and None."""

PAIRS: Final = 240
"""Most pairs of neighbouring frames to compare, spread evenly, so that long films take minutes."""

_MAX_HEIGHT: Final = 360
_MIN_TRUST: Final = 0.9


@dataclass(frozen=True)
class FrameFigures:
    """What was measured of one frame, each 0..1.

    number: in the source, from 1. flicker, source_flicker: mean absolute difference from the warped previous
    frame, without the pixels that come into view. strength: mean absolute difference from the source.
    detail: mean absolute difference from the same frame, blurred by a Gaussian of one pixel.
    """

    number: int
    flicker: float
    source_flicker: float
    strength: float
    detail: float


@dataclass(frozen=True)
class Flicker:
    """How much a film flickers, and what it makes of its source: the means of the compared frames, 0..1."""

    frames: tuple[FrameFigures, ...]

    @property
    def rendered(self) -> float:
        return fmean(frame.flicker for frame in self.frames)

    @property
    def source(self) -> float:
        return fmean(frame.source_flicker for frame in self.frames)

    @property
    def strength(self) -> float:
        return fmean(frame.strength for frame in self.frames)

    @property
    def detail(self) -> float:
        return fmean(frame.detail for frame in self.frames)

    @property
    def pairs(self) -> int:
        return len(self.frames)


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
    numbers = [index + 1 for index in chosen]
    return compare([frames[index] for index in chosen], frames_of(rendered_film), cuts, numbers)


def compare(
    source: Sequence[FrameLocation],
    rendered: Sequence[FrameLocation],
    cuts: Collection[int],
    numbers: Sequence[int] | None = None,
) -> Flicker:
    """Return the flicker of rendered frames, along the motion of the source frames.

    source, rendered: one for one; sizes may differ. cuts: indices of the frames that start a shot. numbers: of
    the frames, if they do not count from 1. Raises BadInput.
    """
    chosen = list(_pairs(len(source), cuts))
    if not chosen:
        raise BadInput(rendered[0][0], "no shot has two frames; there is nothing to compare")
    numbers = numbers or range(1, len(source) + 1)
    reader = FilmReader()
    figures = tuple(
        _compare_pair(reader, numbers[at], source[at - 1 : at + 1], rendered[at - 1 : at + 1])
        for at in chosen
    )
    reader.close()
    return Flicker(figures)


def _pairs(count: int, cuts: Collection[int]) -> Iterator[int]:
    """Yield the indices of the frames to compare with the previous frame."""
    within_shots = [index for index in range(1, count) if index not in cuts]
    step = max(1, len(within_shots) / PAIRS)
    return (within_shots[int(n * step)] for n in range(min(PAIRS, len(within_shots))))


def _compare_pair(
    reader: FilmReader,
    number: int,
    source: Sequence[FrameLocation],
    rendered: Sequence[FrameLocation],
) -> FrameFigures:
    before, after = (_read(reader, location).pixels for location in rendered)
    previous, current = (_as_rendered(_read(reader, location), after.shape) for location in source)
    of_source, of_rendered = _flicker((previous, current), (before, after))
    return FrameFigures(
        number,
        flicker=of_rendered,
        source_flicker=of_source,
        strength=_difference(after, _scaled(current, after.shape)),
        detail=_difference(after, np.asarray(cv2.GaussianBlur(after, (0, 0), 1.0))),
    )


def _flicker(source: tuple[Pixels, Pixels], rendered: tuple[Pixels, Pixels]) -> tuple[float, float]:
    """Return how much the source's second frame and the rendered one differ from the warped first ones."""
    height, width = source[1].shape[:2]
    scale = min(1.0, _MAX_HEIGHT / height)
    shape = (round(height * scale), round(width * scale))
    previous, current, before, after = (_scaled(frame, shape) for frame in (*source, *rendered))
    flow = motion(previous, current)
    trusted = flow.trust > _MIN_TRUST
    if not trusted.any():
        return 0.0, 0.0
    return (
        _difference(current[trusted], flow.carry(previous)[trusted]),
        _difference(after[trusted], flow.carry(before)[trusted]),
    )


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def _read(reader: FilmReader, location: FrameLocation) -> Frame:
    url, moment = location
    return reader.read(url, moment) if moment else read_still(url)


def _as_rendered(source: Frame, shape: tuple[int, ...]) -> Pixels:
    """Return a frame of the source at the size it was rendered at: what has no texture moves otherwise at another."""
    height, width = shape[:2]
    return (resample(source, height, width) if height < source.pixels.shape[0] else source).pixels


def _scaled(frame: Pixels, shape: tuple[int, ...]) -> Pixels:
    """Return a frame of the given height and width."""
    height, width = shape[:2]
    if frame.shape[:2] == (height, width):
        return frame
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
