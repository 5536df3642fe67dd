"""What a claim says: which job of which process writes which files of a folder."""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from farm.process import FarmProcess

__all__ = ["EVERYTHING", "ClaimContent", "shared_name"]

EVERYTHING: Final = "*"
"""In place of a file's name: the whole folder."""


@dataclass(frozen=True)
class ClaimContent:
    """The content of a claim. began: Unix seconds. names: of files in its folder.

    kernel, space, pid, start: as in FarmProcess.
    """

    job: str
    host: str
    kernel: str
    pid: int
    began: float
    names: tuple[str, ...]
    space: str = ""
    start: float = 0.0

    @classmethod
    def of(cls, job: str, process: FarmProcess, began: float, names: tuple[str, ...]) -> Self:
        """Return the claim of a job on files of one folder."""
        where = process.space, process.start
        return cls(job, process.host, process.kernel, process.pid, began, names, *where)

    @classmethod
    def parse(cls, text: bytes, name: str) -> Self:
        """Return what a claim says. One that cannot be read, as name, claims the whole folder."""
        try:
            content = json.loads(text)
            return cls(**{**content, "names": tuple(map(str, content["names"]))})
        except (ValueError, TypeError, KeyError):
            return cls(name, "unknown", "", 0, 0.0, (EVERYTHING,))

    def __bytes__(self) -> bytes:
        return json.dumps(vars(self)).encode()

    def __str__(self) -> str:
        today, day = (time.strftime("%F", time.localtime(t)) for t in (time.time(), self.began))
        since = time.strftime("%H:%M" if day == today else "%F %H:%M", time.localtime(self.began))
        return f"job {self.job} (process {self.pid} on {self.host} since {since})"

    @property
    def is_ended(self) -> bool:
        """Whether its process has certainly ended."""
        process = FarmProcess("", self.host, self.kernel, self.space, self.pid, self.start)
        return process.is_gone


def shared_name(ours: Iterable[str], theirs: Iterable[str]) -> str | None:
    """Return a name that both claim; an empty one for their whole folder, None for no name."""
    ours, theirs = set(ours), set(theirs)
    if EVERYTHING in ours | theirs:
        return ""
    return min(ours & theirs, default=None)
