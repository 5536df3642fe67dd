"""What a job has written: found, downloaded, or all of it in a zip that is made while it is sent."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import Final
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from farm import storage
from farm.errors import BadInput, FarmError, NotFound
from farm.ledger import Ledger
from farm.model.history import UnitRecord
from farm.model.job import Job
from farm.model.unit import UnitState

__all__ = ["FilePlace", "Output", "zipped"]

PIECE: Final = 2**18
PAGE: Final = 500
MOST_FILES: Final = 100_000
"""Files of a run that are listed."""

_ODD: Final = re.compile(r"[\\:\0-\x1f\x7f]")
"""Control characters, and what divides a path on Windows but is part of a name elsewhere."""


@dataclass(frozen=True)
class FilePlace:
    """A file that a job has written. size: in bytes. unit: the number of the one that wrote it."""

    location: str
    size: int
    unit: int | None


class Output:
    """The files of a job. is_run: the job trains, so that its folder is its result."""

    def __init__(self, ledger: Ledger, job: Job, *, is_run: bool) -> None:
        self._ledger, self._job, self._is_run = ledger, job, is_run

    def page(self, after: int, limit: int) -> tuple[list[FilePlace], int | None]:
        """Return files after a number, at most so many, and the number of the last if there are more."""
        found = list(islice(self._numbered(after), limit + 1))
        places = [place for _, place in found[:limit]]
        return places, found[limit - 1][0] if len(found) > limit else None

    def files(self) -> Iterator[FilePlace]:
        """Yield every file."""
        for _, place in self._numbered(-1):
            yield place

    def find(self, location: str, unit: int | None = None) -> Path:
        """Return a file of this job on this machine. Raises NotFound, BadInput, StorageFailed.

        unit: the number of the one that wrote it; without it, all units may have to be looked at.
        """
        if not self._has(location, unit):
            raise NotFound(f"{storage.name(location)!r} is no result of this job, or not yet")
        return storage.input_path(location)

    def _has(self, location: str, unit: int | None) -> bool:
        if self._is_run:
            folder = storage.absolute(self._job.spec.output)
            return location.startswith(f"{folder}/") and storage.is_file(location)
        record = self._record(location, unit)
        is_result = record is not None and record.state.is_done and not record.unit.is_working
        return is_result and storage.is_file(location)

    def _record(self, location: str, unit: int | None) -> UnitRecord | None:
        if unit is None:
            return self._ledger.unit_at(self._job.id, location)
        page = self._ledger.units_page(self._job.id, unit - 1, 1)
        return next((one for one in page if one.unit.target == location), None)

    def _numbered(self, after: int) -> Iterator[tuple[int, FilePlace]]:
        return self._of_run(after) if self._is_run else self._of_units(after)

    def _of_run(self, after: int) -> Iterator[tuple[int, FilePlace]]:
        folder = storage.absolute(self._job.spec.output)
        if not storage.is_folder(folder):
            return
        entries = [
            entry for entry in storage.files_below(folder) if not _is_hidden(entry.url, folder)
        ]
        entries.sort(key=lambda entry: entry.url)
        for number, entry in enumerate(entries[:MOST_FILES]):
            if number > after:
                yield number, FilePlace(entry.url, entry.size, None)

    def _of_units(self, after: int) -> Iterator[tuple[int, FilePlace]]:
        done = [self._in_state(after, state) for state in UnitState if state.is_done]
        for record in merge(*done, key=attrgetter("number")):
            if not record.unit.is_working:
                size = _size(record.unit.target)
                if size is not None:
                    yield record.number, FilePlace(record.unit.target, size, record.number)

    def _in_state(self, after: int, state: UnitState) -> Iterator[UnitRecord]:
        """Yield units in their order, without a look at the many others that a job may have."""
        while page := self._ledger.units_page(self._job.id, after, PAGE, state):
            yield from page
            after = page[-1].number


def _is_hidden(location: str, folder: str) -> bool:
    return "/." in location[len(folder) :]


def _size(location: str) -> int | None:
    """Return the size of a file in bytes; None if it is gone."""
    if storage.is_remote(location):
        stat = storage.scheme_of(location).stat(location)
        return stat.size if stat else None
    try:
        return Path(location).stat().st_size
    except OSError:
        return None


def zipped(output: Output, folder: str) -> Iterator[bytes]:
    """Yield a zip of all files of a job, piece by piece. folder: what their names are relative to."""
    sink = _Sink()
    missing: list[str] = []
    with ZipFile(sink, "w", ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for place in output.files():
            name = _name_in(place.location, folder)
            try:
                path = _real(place.location, folder)
                with (
                    path.open("rb") as source,
                    archive.open(_info(name), "w", force_zip64=True) as file,
                ):
                    while piece := source.read(PIECE):
                        file.write(piece)
                        yield sink.take()
            except (OSError, FarmError):
                missing.append(name)
        if missing:
            archive.writestr(_info("MISSING.txt"), "".join(f"{name}\n" for name in missing))
    yield sink.take()


def _info(name: str) -> ZipInfo:
    info = ZipInfo(name)
    info.external_attr = 0o644 << 16
    return info


def _real(location: str, folder: str) -> Path:
    """Return a file on this machine. Raises BadInput if a link leads out of the folder."""
    path = storage.input_path(location)
    if not storage.is_remote(location):
        inner = Path(os.path.realpath(path))
        if not inner.is_relative_to(os.path.realpath(folder)):
            raise BadInput(location, "a link leads out of the job's folder")
    return path


def _name_in(location: str, folder: str) -> str:
    """Return a name that leads out of no folder, on any system."""
    inner = location[len(folder) + 1 :] if location.startswith(f"{folder}/") else ""
    return _ODD.sub("_", storage.shown(inner or storage.name(location)))


class _Sink:
    """A file that is written once and never sought. take returns what was written since."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Do nothing: what is written is taken soon."""

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken
