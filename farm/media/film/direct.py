"""Writes a film of pictures that are made one after the other, without a job."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from farm.media.film.codecs import check_size, choose_format
from farm.media.film.encoder import encode_part
from farm.media.film.join import join_parts
from farm.media.frame import Frame
from farm.model.film import FilmFormat

__all__ = ["write_film"]


def write_film(
    target: str,
    frames: Iterable[Frame],
    record: Mapping[str, object],
    *,
    rate: Fraction = Fraction(25),
    hold: int = 1,
) -> str:
    """Write frames of one size as a film and return the file's SHA-256.

    target: its suffix chooses the container. record: anything JSON can represent; read_film_record
    returns it. rate: frames per second. hold: for how many frames the last one is shown. Holds few
    frames in memory.

    Raises BadOutput if the format cannot hold pictures of this size or the path cannot be written,
    and StorageFailed if the storage fails.
    """
    film_format = choose_format(target, None, "good", 8, film=None, rate=rate)
    with TemporaryDirectory(prefix="farm-") as folder:
        part = str(Path(folder) / "part.nut")
        encode_part(part, film_format, _timed(target, film_format, frames, hold), record)
        return join_parts(target, film_format, [part], None, None, record)


def _timed(
    target: str, film_format: FilmFormat, frames: Iterable[Frame], hold: int
) -> Iterator[tuple[int, int, Frame]]:
    """Yield each frame with its time and duration, in frames of the film."""
    coming = iter(frames)
    frame = next(coming, None)
    for number in count():
        if frame is None:
            return
        check_size(target, film_format.codec, *frame.pixels.shape[:2])
        after = next(coming, None)
        yield number, hold if after is None else 1, replace(frame, depth=8)
        frame = after
