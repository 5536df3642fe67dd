"""What a preparation has done so far, so that it goes on where it was stopped."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from farm.errors import BadOutput
from farm.media.dataset.manifest import JOURNAL, Outcome
from farm.storage import write_error

__all__ = ["Journal", "open_journal"]


class Journal:
    """The outcome of each picture that is done, by its name in the dataset.

    Any number of threads may add to it at once.
    """

    def __init__(self, file: BinaryIO, done: Mapping[str, Outcome]) -> None:
        self.done, self._file, self._lock = dict(done), file, Lock()

    def add(self, name: str, outcome: Outcome) -> None:
        """Note that a picture is done. Raises OSError."""
        fields = [name, outcome.total, outcome.hash, outcome.unreadable]
        with self._lock:
            self._file.write(json.dumps(fields).encode() + b"\n")
            self._file.flush()
            self.done[name] = outcome


@contextmanager
def open_journal(folder: Path, request: str) -> Iterator[Journal]:
    """Start the journal of a dataset, or go on with it. Nobody else can, until the block ends.

    request: stands for the sources and the options. Raises BadOutput if the journal is of another
    request, or another process has it open.
    """
    path = folder / JOURNAL
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            _lock(folder, file)
            file.seek(0)
            first, *lines = _whole_lines(file) or [json.dumps({"request": request})]
            if json.loads(first) != {"request": request}:
                raise BadOutput(
                    str(folder),
                    "its preparation began with other pictures or options; delete it, or choose "
                    "another folder with -o",
                )
            _rewrite(file, [first, *lines])
            yield Journal(file, dict(map(_parse, lines)))
    except OSError as error:
        raise write_error(str(path), error) from error


def _lock(folder: Path, file: BinaryIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BadOutput(
            str(folder), "another farm prepare is writing it; wait until it ends, or stop it"
        ) from None


def _whole_lines(file: BinaryIO) -> list[str]:
    """Return the lines, without one that was cut short when a process died."""
    return file.read().decode(errors="replace").split("\n")[:-1]


def _rewrite(file: BinaryIO, lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    if os.fstat(file.fileno()).st_size != len(content):
        file.truncate(0)
        file.write(content)
        file.flush()


def _parse(line: str) -> tuple[str, Outcome]:
    name, total, look, unreadable = json.loads(line)
    return name, Outcome(tuple(total), look, unreadable and tuple(unreadable))
