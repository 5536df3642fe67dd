"""Files that clients send: in pieces if they like, checked by their digest, whole or absent.

A file is named by its SHA-256, so that the same one is sent once. What has arrived of it waits under
a hidden name, and one request at a time adds to it.
"""

import hashlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from starlette.concurrency import run_in_threadpool

from farm.errors import BadParameter, Conflict, TooLarge

__all__ = ["Piece", "Uploads"]

MOST_BYTES: Final = 20_000_000_000
SPARE_BYTES: Final = 1_000_000_000
"""Space on the disk that uploads leave free."""
AT_ONCE: Final = 32
_NAME: Final = re.compile(r"[^./\x00-\x1f\x7f\ud800-\udfff][^/\x00-\x1f\x7f\ud800-\udfff]{0,199}")
_RANGE: Final = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")


@dataclass(frozen=True)
class Piece:
    """Bytes of a file: those from start on, of so many in all. total: None if all are in this piece."""

    start: int = 0
    total: int | None = None

    @classmethod
    def parse(cls, header: str | None) -> "Piece":
        """Return the piece that a header Content-Range describes. Raises BadParameter."""
        if header is None:
            return cls()
        match = _RANGE.fullmatch(header)
        first, last, total = map(int, match.groups()) if match else (1, 0, 0)
        if not first <= last < total:
            raise BadParameter(
                "header.content-range", f"{header[:80]!r} is not bytes FIRST-LAST/TOTAL"
            )
        return cls(first, total)


class Uploads:
    """The folder of uploads. space: the least that stays free on its disk, in bytes."""

    def __init__(self, folder: Path, space: int = SPARE_BYTES) -> None:
        self._folder, self._space = folder, space
        self._busy: set[str] = set()
        self._lock = Lock()

    def arrived(self, sha256: str, name: str) -> tuple[int, bool]:
        """Return how many bytes of a file are here, and whether it is whole."""
        _check(name)
        whole = self._whole(sha256, name)
        if whole.is_file():
            return whole.stat().st_size, True
        part = self._part(sha256)
        return (part.stat().st_size if part.is_file() else 0), False

    async def add(
        self, sha256: str, name: str, piece: Piece, content: AsyncIterator[bytes]
    ) -> tuple[int, bool]:
        """Add a piece, and return how many bytes are here, and whether the file is whole.

        Raises Conflict if the piece does not follow what is here, if another request adds to the file,
        or if the whole file has another digest; then nothing of it stays. TooLarge: see MOST_BYTES.
        """
        _check(name)
        if self._whole(sha256, name).is_file():
            return self._whole(sha256, name).stat().st_size, True
        with self._alone(sha256):
            part = self._part(sha256)
            await run_in_threadpool(self._begin, part, piece)
            size = await self._write(part, piece, content)
            if piece.total is not None and size < piece.total:
                return size, False
            await run_in_threadpool(self._finish, part, sha256, name)
            return size, True

    def _begin(self, part: Path, piece: Piece) -> None:
        here = part.stat().st_size if part.is_file() else 0
        if piece.total is None:
            here = 0
        if piece.start != here:
            raise Conflict(f"{here:,} bytes have arrived, so the next piece begins there")
        if (piece.total or 0) > MOST_BYTES:
            raise TooLarge(f"a file may have {MOST_BYTES:,} bytes, not {piece.total:,}")
        part.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if piece.start == 0:
            part.write_bytes(b"")

    async def _write(self, part: Path, piece: Piece, content: AsyncIterator[bytes]) -> int:
        size, most = piece.start, min(piece.total or MOST_BYTES, MOST_BYTES)
        file: BinaryIO = await run_in_threadpool(part.open, "ab")
        try:
            async for some in content:
                size += len(some)
                if size > most:
                    raise TooLarge(f"the file has more than {most:,} bytes")
                if shutil.disk_usage(part.parent).free < self._space + len(some):
                    raise TooLarge("the disk of the uploads is full; ask the farm's owner")
                await run_in_threadpool(file.write, some)
        finally:
            await run_in_threadpool(file.close)
        return size

    def _finish(self, part: Path, sha256: str, name: str) -> None:
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        if digest != sha256:
            part.unlink()
            raise Conflict(f"what arrived has the digest {digest}; send it again from the start")
        whole = self._whole(sha256, name)
        whole.parent.mkdir(parents=True, exist_ok=True)
        part.replace(whole)

    @contextmanager
    def _alone(self, sha256: str) -> Iterator[None]:
        with self._lock:
            if sha256 in self._busy or len(self._busy) >= AT_ONCE:
                raise Conflict("another request uploads this file, or too many files are uploaded")
            self._busy.add(sha256)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(sha256)

    def _whole(self, sha256: str, name: str) -> Path:
        return self._folder / sha256 / name

    def _part(self, sha256: str) -> Path:
        return self._folder / ".parts" / sha256


def _check(name: str) -> None:
    if not _NAME.fullmatch(name) or len(name.encode()) > 200:
        raise BadParameter("query.name", f"{name[:80]!r} is not the plain name of a file")
