"""Downloads the results of a job."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from farm import storage
from farm.client.connection import Connection
from farm.client.job_status import JobStatus
from farm.errors import BadOutput


def fetch_results(connection: Connection, job: JobStatus, folder: Path) -> Iterator[Path]:
    """Download each result into a folder and yield its path.

    Raises BadOutput if one cannot be written, or if its name leads out of the folder.
    """
    output, after = str(job.spec.get("output", "")), None
    while True:
        page = connection.get(f"/api/jobs/{job.id}/results", after=after)
        for result in page["results"]:
            target = folder / _inner(result["path"], output)
            asked = {"path": result["path"], "unit": result.get("unit")}
            with (
                connection.stream(
                    f"/api/jobs/{job.id}/result",
                    params={name: value for name, value in asked.items() if value is not None},
                ) as answer,
                storage.open_whole(target) as file,
            ):
                for piece in answer.iter_bytes(2**20):
                    file.write(piece)
            yield target
        after = page.get("next")
        if after is None:
            return


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
