"""Reads the record inside a film, which its container stores as a comment."""

from pathlib import PurePath
from typing import Any, Final

import av
from PIL import Image

from farm.media.bounds import safe_decoding
from farm.media.film.decoding import open_container
from farm.media.record import from_text
from farm.media.still_formats import MAX_PIXELS

__all__ = ["COMMENT", "read_film_record"]

COMMENT: Final = "comment"


def read_film_record(url: str) -> dict[str, Any] | None:
    """Return the record in a film or a part, or None if the farm did not write one.

    Raises BadInput if the file is not a film, StorageFailed if the storage fails.
    """
    is_gif = PurePath(url).suffix.lower() == ".gif"
    return from_text(_gif_comment(url) if is_gif else _container_comment(url))


def _gif_comment(url: str) -> bytes:
    with safe_decoding(url, MAX_PIXELS) as path, Image.open(path, formats=("GIF",)) as image:
        comment = image.info.get("comment", b"")
        return bytes(comment)


def _container_comment(url: str) -> str | bytes:
    with open_container(url) as container:
        for name, text in container.metadata.items():
            if name.lower() == COMMENT:
                return text
        return _first_text(container) if container.format.name == "nut" else ""


def _first_text(part: av.container.InputContainer) -> bytes:
    packet = next(iter(part.demux(part.streams.subtitles)), None)
    return bytes(packet) if packet and packet.size else b""
