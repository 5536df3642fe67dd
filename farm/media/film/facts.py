"""What a film says about itself, without decoding more than its first frame."""

from dataclasses import dataclass
from fractions import Fraction

from farm.media.film.conversion import quarter_turns
from farm.media.film.decoding import decode, open_film

__all__ = ["FilmFacts", "film_facts", "film_size"]


@dataclass(frozen=True)
class FilmFacts:
    """Size of its upright frames, their number, and their average rate per second."""

    height: int
    width: int
    frames: int
    rate: Fraction


def film_facts(url: str) -> FilmFacts:
    """Return what a film is. Raises BadInput if it cannot be read, StorageFailed."""
    width, height = film_size(url)
    with open_film(url) as film:
        packets = film.container.demux(film.stream)
        frames = film.stream.frames or sum(packet.size > 0 for packet in packets)
        return FilmFacts(height, width, frames, film.stream.average_rate or Fraction(0))


def film_size(url: str) -> tuple[int, int]:
    """Return the width and height of a film's frames, upright. Raises as film_facts does.

    They are as stored if no frame can be decoded.
    """
    with open_film(url, threads=1) as film:
        first = next(decode(film, film.container.demux(film.stream)), None)
        if first is not None and quarter_turns(first) % 2 == 1:
            return film.height, film.width
        return film.width, film.height
