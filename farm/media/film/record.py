"""The record inside a film: how it was made, where its container has room for a comment."""

import json
from contextlib import suppress
from pathlib import PurePath
from typing import Any, Final

import av
from PIL import Image

from farm.media.bounds import guarded
from farm.media.film.source import opened_container
from farm.media.formats import MAX_PIXELS

__all__ = ["COMMENT", "read_film_record"]

COMMENT: Final = "comment"


def read_film_record(url: str) -> dict[str, Any] | None:
    """Return the record that a film or a part of one carries, or None where there is none of ours.

    Raises BadInput where it is no film, StorageFailed where reading failed.
    """
    is_gif = PurePath(url).suffix.lower() == ".gif"
    text = _of_gif(url) if is_gif else _of_container(url)
    with suppress(ValueError, RecursionError):
        content = json.loads(text)
        if isinstance(content, dict) and isinstance(content.get("farm"), dict):
            return dict(content["farm"])
    return None


def _of_gif(url: str) -> bytes:
    with guarded(url, MAX_PIXELS) as path, Image.open(path, formats=("GIF",)) as image:
        comment = image.info.get("comment", b"")
        return bytes(comment)


def _of_container(url: str) -> str | bytes:
    with opened_container(url) as container:
        for name, text in container.metadata.items():
            if name.lower() == COMMENT:
                return text
        return _first_words(container) if container.format.name == "nut" else ""


def _first_words(part: av.container.InputContainer) -> bytes:
    packet = next(iter(part.demux(part.streams.subtitles)), None)
    return bytes(packet) if packet and packet.size else b""
