"""Downloads the results of a job."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import httpx

from farm import storage
from farm.client.connection import Connection
from farm.client.job_status import JobStatus
from farm.errors import BadOutput

_PIECE: Final = 2**20


@dataclass(frozen=True)
class Fetched:
    """A result in a folder of this machine. was_there: it was there already, and is kept."""

    path: Path
    was_there: bool


def fetch_results(
    connection: Connection, job: JobStatus, folder: Path, *, overwrite: bool
) -> Iterator[Fetched]:
    """Download each result into a folder and yield it; one that is there already is kept.

    Raises BadOutput if one cannot be written, or if its name leads out of the folder; and before
    anything is written, if one would replace a file with other contents, unless overwrite.
    """
    results = list(_results(connection, job, folder))
    kept = set[Path]() if overwrite else _kept(results)
    for result in results:
        was_there = result.target in kept
        if not was_there:
            with result.content() as answer, storage.open_whole(result.target) as file:
                for piece in answer.iter_bytes(_PIECE):
                    file.write(piece)
        yield Fetched(result.target, was_there)


@dataclass(frozen=True)
class _Result:
    """A result of a job, and where it goes. size: in bytes; None if the farm does not say."""

    connection: Connection
    path: str
    asked: Mapping[str, Any]
    size: int | None
    target: Path

    def content(self) -> AbstractContextManager[httpx.Response]:
        return self.connection.stream(self.path, params=self.asked)

    def is_at_target(self) -> bool:
        """Return whether its target is a file with the same contents."""
        if not self.target.is_file() or self.size not in {None, self.target.stat().st_size}:
            return False
        with self.content() as answer, self.target.open("rb") as file:
            same = all(file.read(len(piece)) == piece for piece in answer.iter_bytes(_PIECE))
            return same and not file.read(1)


def _results(connection: Connection, job: JobStatus, folder: Path) -> Iterator[_Result]:
    output, after, path = str(job.spec.get("output", "")), None, f"/api/jobs/{job.id}/result"
    while True:
        page = connection.get(f"/api/jobs/{job.id}/results", after=after)
        for result in page["results"]:
            asked = {"path": result["path"], "unit": result.get("unit")}
            known = {name: value for name, value in asked.items() if value is not None}
            target = folder / _inner(result["path"], output)
            yield _Result(connection, path, known, result.get("size"), target)
        after = page.get("next")
        if after is None:
            return


def _kept(results: list[_Result]) -> set[Path]:
    """Return the targets that are there already. Raises BadOutput if one has other contents."""
    there = [result for result in results if os.path.lexists(result.target)]
    kept = {result.target for result in there if result.is_at_target()}
    taken = [str(result.target) for result in there if result.target not in kept]
    if taken:
        more = len(taken) - 1
        others = (
            f", and so {'do' if more > 1 else 'does'} {more:,} more of the {len(results):,} files"
        )
        reason = f"it exists with other contents{others if more else ''}"
        advice = "add --overwrite (in Python, overwrite=True) to replace it"
        raise BadOutput(taken[0], f"{reason}; choose another folder, or {advice}")
    return kept


def _inner(path: str, output: str) -> PurePosixPath:
    """Return a result's path below the job's output folder; its bare name if the output is a file."""
    folder = output.rstrip("/") + "/"
    inner = PurePosixPath(
        path[len(folder) :] if path.startswith(folder) else path.rpartition("/")[2]
    )
    is_safe = inner.parts and not inner.is_absolute() and ".." not in inner.parts
    if not is_safe or "\0" in path:
        raise BadOutput(repr(path), "the farm named a result that is not below its job's output")
    return inner
