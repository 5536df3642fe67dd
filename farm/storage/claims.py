"""Claims on outputs, so that no two jobs write the same file at once.

A claim is a hidden file in the folder of the outputs. It names them and the process that writes
them, so farms with other ledgers and on other machines see it too. It counts while its process
lives, which its lock shows at once on the same machine. Elsewhere, and on file systems without
locks, it counts until it has not been touched for SILENT_SECONDS by the file system's own clock.
"""

import errno
import fcntl
import json
import os
import secrets
import time
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final

from farm.errors import BadOutput
from farm.process import SILENT_SECONDS, FarmProcess

EVERYTHING: Final = "*"
"""In place of a file's name: the whole folder."""

_CANNOT_WRITE: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""Where nothing can be written there is nothing to claim; what the job writes there will fail."""


class _Lock(Enum):
    """Who holds the lock of a file. UNKNOWN: the file system has no locks."""

    FREE = auto()
    TAKEN = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class _Content:
    """The content of a claim's file. began: Unix seconds. names: of files in its folder."""

    job: str
    host: str
    kernel: str
    pid: int
    began: float
    names: tuple[str, ...]

    def __str__(self) -> str:
        today, day = (time.strftime("%F", time.localtime(t)) for t in (time.time(), self.began))
        since = time.strftime("%H:%M" if day == today else "%F %H:%M", time.localtime(self.began))
        return f"job {self.job} (process {self.pid} on {self.host} since {since})"


class Claim:
    """The right of one job to write its outputs. Take one with claim."""

    def __init__(self, job: str, process: FarmProcess, began: float) -> None:
        self._job, self._process, self._began = job, process, began
        self._names: dict[Path, tuple[str, ...]] = {}
        self._files: dict[Path, tuple[Path, int]] = {}
        self._created: list[Path] = []

    def take(self, targets: Iterable[Path]) -> None:
        """Claim these files. Raises BadOutput if a living process has claimed one of them."""
        names: defaultdict[Path, list[str]] = defaultdict(list)
        for target in targets:
            names[target.parent].append(target.name)
        self._names = {folder: tuple(listed) for folder, listed in names.items()}
        try:
            for folder in self._names:
                self._take(folder)
        except BaseException:
            self.release()
            raise

    def beat(self) -> None:
        """Show that the process lives.

        A claim whose file is gone is taken again. Raises BadOutput if another job has it by now.
        """
        self.touch()
        for folder, (path, descriptor) in list(self._files.items()):
            if not _is_at(path, descriptor):
                os.close(descriptor)
                del self._files[folder]
                self._take(folder)

    def touch(self) -> None:
        """Show that the process lives, whether or not the claim still has its files."""
        for _, descriptor in list(self._files.values()):
            with suppress(OSError):
                os.utime(descriptor)

    def release(self) -> None:
        """Give the outputs up, and remove the folders that were created for them and are empty."""
        for path, descriptor in self._files.values():
            if _is_at(path, descriptor):
                path.unlink(missing_ok=True)
            os.close(descriptor)
        self._files.clear()
        for folder in reversed(self._created):
            with suppress(OSError):
                folder.rmdir()
        self._created.clear()

    def _take(self, folder: Path) -> None:
        try:
            self._create_folder(folder)
            path, descriptor = self._write(folder)
        except OSError as error:
            if error.errno in _CANNOT_WRITE:
                return
            reason = (error.strerror or str(error)).lower()
            raise BadOutput(str(folder), f"{reason}; choose another path with -o") from error
        self._files[folder] = path, descriptor
        self._check_others(folder, path, os.fstat(descriptor).st_mtime)

    def _create_folder(self, folder: Path) -> None:
        missing = [f for f in (folder, *folder.parents) if not os.path.lexists(f)]
        folder.mkdir(parents=True, exist_ok=True)
        self._created += reversed(missing)

    def _write(self, folder: Path) -> tuple[Path, int]:
        """Write the claim of a folder, which appears under its name complete and locked."""
        path = folder / f".farm-{self._job}-{secrets.token_hex(4)}.claim"
        hidden = path.with_suffix(".part")
        process = self._process
        content = _Content(
            self._job, process.host, process.kernel, process.pid, self._began, self._names[folder]
        )
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            _lock(descriptor, fcntl.LOCK_EX)
            with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
                json.dump(asdict(content), file)
            os.fsync(descriptor)
            hidden.replace(path)
            os.utime(descriptor)
        except BaseException:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        return path, descriptor

    def _check_others(self, folder: Path, own: Path, now: float) -> None:
        """Raise BadOutput if a living claim names one of these files; remove dead claims.

        now: Unix seconds, by the file system's clock.
        """
        spelled = _one_spelling if _ignores_case(own) else str
        for path in folder.glob(".farm-*.claim"):
            if path == own or not self._is_living(path, now):
                continue
            other = _read(path)
            shared = _shared_name(map(spelled, self._names[folder]), map(spelled, other.names))
            if shared is not None:
                reason = f"{other} is writing it; wait until it ends, stop it, or choose another path with -o"
                raise BadOutput(str(folder / shared), reason)

    def _is_living(self, path: Path, now: float) -> bool:
        """Return whether a claim counts; remove it if it does not."""
        try:
            is_silent, lock = now - path.stat().st_mtime >= SILENT_SECONDS, _lock_of(path)
        except FileNotFoundError:
            return False
        is_ended = lock is _Lock.FREE and _read(path).kernel == self._process.kernel
        is_living = lock is _Lock.TAKEN or not (is_silent or is_ended)
        if not is_living:
            with suppress(OSError):
                path.unlink()
        return is_living


def claim(targets: Sequence[Path], job: str, process: FarmProcess, began: float) -> Claim:
    """Claim files for a job of a farm's process.

    targets: of one folder or several; EVERYTHING as the name means the whole folder. began: Unix
    seconds, for the message to others. Raises BadOutput with the job that writes one of them.
    """
    taken = Claim(job, process, began)
    taken.take(targets)
    return taken


def _lock(descriptor: int, kind: int) -> _Lock:
    """Lock a file if it is free. kind: of fcntl.flock."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return _Lock.TAKEN
    except OSError:
        return _Lock.UNKNOWN
    return _Lock.FREE


def _lock_of(path: Path) -> _Lock:
    """Return who holds the lock of a file. Raises FileNotFoundError."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:
        return _Lock.UNKNOWN
    try:
        return _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Return whether an open file still has this path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def _read(path: Path) -> _Content:
    """Return the content of a claim. One that cannot be read claims the whole folder."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _Content(**{**content, "names": tuple(map(str, content["names"]))})
    except (OSError, ValueError, TypeError, KeyError):
        return _Content(path.name, "unknown", "", 0, 0.0, (EVERYTHING,))


def _shared_name(ours: Iterable[str], theirs: Iterable[str]) -> str | None:
    """Return a name that both claim; an empty one for their whole folder, None for no name."""
    ours, theirs = set(ours), set(theirs)
    if EVERYTHING in ours | theirs:
        return ""
    return min(ours & theirs, default=None)


def _ignores_case(path: Path) -> bool:
    """Return whether the disk finds an existing file by a name in capitals too."""
    return path.with_name(path.name.upper()).exists()


def _one_spelling(name: str) -> str:
    """Return the same text for all names that a disk without case takes for one."""
    return unicodedata.normalize("NFC", name).casefold()
