"""Reads frames from stills, and from films, which stay open between frames."""

from typing import TYPE_CHECKING

from farm.model.film import Moment

if TYPE_CHECKING:
    from farm.media import Frame
    from farm.media.film import FilmReader


class FrameSource:
    """Reads frames. Keeps films open, and the digest of the last file until it changes."""

    def __init__(self) -> None:
        self._reader: FilmReader | None = None
        self._digests: dict[tuple[str, int, int], str] = {}

    def read(self, source: str, moment: Moment | None) -> tuple["Frame", str]:
        """Return a still, or a frame of a film, and the SHA-256 of its file.

        moment: None for a still. The digest of a blank is empty.
        """
        from farm.media import read_still
        from farm.media.blank import is_blank

        if moment is None:
            return read_still(source), "" if is_blank(source) else self._digest(source)
        return self._films().read(source, moment), self._digest(source)

    def close(self) -> None:
        """Close open films."""
        if self._reader:
            self._reader.close()

    def _films(self) -> "FilmReader":
        if self._reader is None:
            from farm.media.film import FilmReader

            self._reader = FilmReader()
        return self._reader

    def _digest(self, source: str) -> str:
        from farm.storage import input_path, sha256_file

        path = input_path(source)
        status = path.stat()
        key = (source, status.st_size, status.st_mtime_ns)
        if key not in self._digests:
            self._digests = {key: sha256_file(path)}
        return self._digests[key]
