"""Folders for pictures that are only looked at, and what a killed command has left of them."""

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Final

from farm.errors import JobEnded, JobHeld, LedgerUnavailable
from farm.model.events import JobChanged
from farm.model.job import JobState

if TYPE_CHECKING:
    from farm.ledger import Ledger

__all__ = ["forget_abandoned", "working_folder"]

_PREFIX: Final = "farm-sheet-"
_INSIDE: Final = re.compile(rf"(.*/{_PREFIX}[a-z0-9_]{{8}})/.*")


@contextmanager
def working_folder() -> Iterator[Path]:
    """Yield a folder for pictures that are only looked at."""
    with TemporaryDirectory(prefix=_PREFIX) as folder:
        yield Path(folder)


def forget_abandoned(ledger: "Ledger") -> None:
    """Forget jobs that write into such folders and whose command was killed, and remove the folders.

    Nobody resumes such a job. A folder that is not among this machine's temporary ones stays.
    """
    with suppress(LedgerUnavailable):
        for job in ledger.unfinished(f"/{_PREFIX}"):
            if inside := _INSIDE.fullmatch(job.spec.output):
                with suppress(JobHeld, JobEnded):  # its command is at work
                    ledger.take(job.id, time.time())
                    cancelled = replace(job, state=JobState.CANCELLED)
                    ledger.record([JobChanged(cancelled)], time.time())
                    ledger.forget_job(job.id)
                    _remove(Path(inside[1]))


def _remove(folder: Path) -> None:
    if folder.parent == Path(gettempdir()):
        shutil.rmtree(folder, ignore_errors=True)
