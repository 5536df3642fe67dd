"""Films in and out: frames at their own times, and parts that become one file with its sound.

The names are found when they are asked for: what only looks at suffixes does without FFmpeg.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from farm.media.film.names import FILM_SUFFIXES, WRITABLE_FILMS, is_film, is_film_name

if TYPE_CHECKING:
    from farm.media.film.encode import encode_part
    from farm.media.film.formats import choose_format, note_depth
    from farm.media.film.index import read_film
    from farm.media.film.join import join_parts
    from farm.media.film.reader import FilmReader
    from farm.media.film.record import read_film_record
    from farm.media.film.sound import note_sound

__all__ = [
    "FILM_SUFFIXES",
    "WRITABLE_FILMS",
    "FilmReader",
    "choose_format",
    "encode_part",
    "is_film",
    "is_film_name",
    "join_parts",
    "note_depth",
    "note_sound",
    "read_film",
    "read_film_record",
]

_ROOMS: Final = {
    "FilmReader": "reader",
    "choose_format": "formats",
    "encode_part": "encode",
    "join_parts": "join",
    "note_depth": "formats",
    "note_sound": "sound",
    "read_film": "index",
    "read_film_record": "record",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
