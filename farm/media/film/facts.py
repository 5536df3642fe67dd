"""What a film says about itself, without decoding it."""

from dataclasses import dataclass
from fractions import Fraction

from farm.media.film.decoding import open_film

__all__ = ["FilmFacts", "film_facts"]


@dataclass(frozen=True)
class FilmFacts:
    """Size of its frames as they are stored, their number, and their average rate per second."""

    height: int
    width: int
    frames: int
    rate: Fraction


def film_facts(url: str) -> FilmFacts:
    """Return what a film is. Raises BadInput if it cannot be read, StorageFailed."""
    with open_film(url) as film:
        packets = film.container.demux(film.stream)
        frames = film.stream.frames or sum(packet.size > 0 for packet in packets)
        rate = film.stream.average_rate or Fraction(0)
        return FilmFacts(film.height, film.width, frames, rate)
