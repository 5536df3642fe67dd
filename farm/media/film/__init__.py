"""Reads frames of films at exact times, writes parts, and joins them with the sound.

Most names load on first use, so that code which only looks at suffixes does not load FFmpeg.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from farm.media.film.suffixes import (
    FILM_SUFFIXES,
    WRITABLE_FILMS,
    is_film,
    is_film_name,
    keeps_pixel_shape,
    may_be_film,
)

if TYPE_CHECKING:
    from farm.media.film.codecs import (
        check_size,
        choose_format,
        describe_depth_change,
        describe_padding,
    )
    from farm.media.film.direct import write_film
    from farm.media.film.encoder import encode_part
    from farm.media.film.extras import describe_lost_extras
    from farm.media.film.facts import FilmFacts, film_facts, film_size
    from farm.media.film.film_record import read_film_record
    from farm.media.film.join import join_parts
    from farm.media.film.reader import FilmReader
    from farm.media.film.scan import read_film
    from farm.media.film.sound import describe_sound_changes

__all__ = [
    "FILM_SUFFIXES",
    "WRITABLE_FILMS",
    "FilmFacts",
    "FilmReader",
    "check_size",
    "choose_format",
    "describe_depth_change",
    "describe_lost_extras",
    "describe_padding",
    "describe_sound_changes",
    "encode_part",
    "film_facts",
    "film_size",
    "is_film",
    "is_film_name",
    "join_parts",
    "keeps_pixel_shape",
    "may_be_film",
    "read_film",
    "read_film_record",
    "write_film",
]

_MODULES: Final = {
    "FilmFacts": "facts",
    "FilmReader": "reader",
    "check_size": "codecs",
    "choose_format": "codecs",
    "describe_depth_change": "codecs",
    "describe_lost_extras": "extras",
    "describe_padding": "codecs",
    "describe_sound_changes": "sound",
    "encode_part": "encoder",
    "film_facts": "facts",
    "film_size": "facts",
    "join_parts": "join",
    "read_film": "scan",
    "read_film_record": "film_record",
    "write_film": "direct",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
