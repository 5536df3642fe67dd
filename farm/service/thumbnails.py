"""Small pictures of what a unit reads and writes, as JPEG, within bounds of memory and of time."""

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, Final

from farm import storage
from farm.errors import Busy, NotFound
from farm.media import read_still
from farm.media.blank import is_blank
from farm.media.shrinking import shrunk
from farm.model.film import Moment

if TYPE_CHECKING:
    from farm.media import Frame

__all__ = ["MAX_PIXELS", "SIDES", "Pictures", "Thumbnail", "read_picture"]

SIDES: Final = (200, 600, 1200)
"""Longest sides in pixels."""
MAX_PIXELS: Final = 2**26
"""Pixels of the largest picture that is shown; it takes 800 MB while it is read."""
CACHE_BYTES: Final = 64 * 2**20
AT_ONCE: Final = 2
WAIT_SECONDS: Final = 15.0
_QUALITY: Final = 85


@dataclass(frozen=True)
class Thumbnail:
    """A small picture. tag: changes with its content."""

    jpeg: bytes
    tag: str


class Pictures:
    """Makes thumbnails and keeps the latest. Any thread may ask."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Thumbnail] = OrderedDict()
        self._bytes, self._lock = 0, Lock()
        self._turns = BoundedSemaphore(AT_ONCE)

    def small(self, location: str, side: int, moment: Moment | None = None) -> Thumbnail:
        """Return a still, or a frame of a film, with this longest side at most.

        Raises NotFound if there is none yet, BadInput if it cannot be read, StorageFailed, and Busy.
        """
        key = f"{location} {_version(location)} {moment} {side}"
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        with self._turn():
            jpeg = _jpeg(read_picture(location, moment), side)
        made = Thumbnail(jpeg, hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:32])
        self._keep(key, made)
        return made

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=WAIT_SECONDS):
            raise Busy("many pictures are asked for; ask again later")
        try:
            yield
        finally:
            self._turns.release()

    def _keep(self, key: str, made: Thumbnail) -> None:
        with self._lock:
            if key not in self._kept:
                self._bytes += len(made.jpeg)
            self._kept[key] = made
            while self._bytes > CACHE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest.jpeg)


def _version(location: str) -> str:
    """Return what changes with a file. Raises NotFound if there is none."""
    if is_blank(location):
        return ""
    look = storage.look_at(location)
    if look is None:
        raise NotFound(f"there is no picture {storage.name(location)!r} yet")
    return str(look)


def read_picture(location: str, moment: Moment | None = None) -> "Frame":
    """Return a still, or a frame of a film. Raises BadInput."""
    if moment is None:
        return read_still(location, max_pixels=MAX_PIXELS)
    from farm.media.film import FilmReader

    reader = FilmReader()
    try:
        return reader.read(location, moment)
    finally:
        reader.close()


def _jpeg(frame: "Frame", side: int) -> bytes:
    file = BytesIO()
    shrunk(frame, side).save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
