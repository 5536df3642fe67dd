"""Reads frames from stills, and from films, which stay open between frames."""

from typing import TYPE_CHECKING, Final

from farm.model.film import Moment
from farm.storage import KnownFiles

if TYPE_CHECKING:
    from farm.media import Frame
    from farm.media.film import FilmReader

_FILMS: Final = 64
"""Films to remember as open; the reader closes all but a few by itself."""


class FrameSource:
    """Reads frames. Keeps films open between frames, as long as their content is the same."""

    def __init__(self) -> None:
        self._reader: FilmReader | None = None
        self._open: dict[str, str] = {}
        """The digests of the films that the reader may have open."""

    def read(self, source: str, moment: Moment | None, files: KnownFiles) -> tuple["Frame", str]:
        """Return a still, or a frame of a film, and the SHA-256 of its file.

        moment: None for a still. The digest of a blank is empty. Raises InputChanged if the source
        is one of the files and has changed since the job was submitted.
        """
        from farm.media import read_still
        from farm.media.blank import is_blank

        if is_blank(source):
            return read_still(source), ""
        if moment is None:
            return files.read(source, lambda: read_still(source))
        self._close_changed(source, files.digest(source))
        return files.read(source, lambda: self._films().read(source, moment))

    def close(self) -> None:
        """Close open films."""
        if self._reader:
            self._reader.close()

    def _films(self) -> "FilmReader":
        if self._reader is None:
            from farm.media.film import FilmReader

            self._reader = FilmReader()
        return self._reader

    def _close_changed(self, source: str, digest: str) -> None:
        """Close all films if this one is open with another content than it has now."""
        if self._open.get(source, digest) != digest or len(self._open) > _FILMS:
            self._films().close()
            self._open.clear()
        self._open[source] = digest
