"""A job on a service: what can be asked and wanted of it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from farm.client.connection import Connection
from farm.client.fetching import Fetched, fetch_results
from farm.client.job_status import JobStatus
from farm.client.watching import Event, watch


class JobHandle:
    """A job on a service. status: what the service said of it last."""

    def __init__(self, connection: Connection, status: JobStatus) -> None:
        self._connection, self.status = connection, status

    @property
    def id(self) -> str:
        return self.status.id

    def refresh(self) -> JobStatus:
        """Ask what has become of the job, and return that."""
        return self._keep(self._connection.get(self._path()))

    def watch(self, timeout: float | None = None) -> Iterator[Event]:
        """Yield what happens to the job from now on, until it has ended.

        Connects again if the service restarts, and misses no change of a unit meanwhile. Raises
        ServerUnavailable once it has been away for a minute, and TimeoutError after timeout seconds.
        """
        for event in watch(self._connection, self.id, timeout):
            if event.kind == "job":
                self._keep(event.data)
            yield event

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Wait until the job has ended. Raises as watch does."""
        for _ in self.watch(timeout):
            pass
        return self.status

    def fetch(self, folder: str | Path = ".", *, overwrite: bool = False) -> list[Path]:
        """Download every result that exists into a folder, and return their paths there.

        Each file is complete or absent. One that is there already with the same contents is kept.
        overwrite: replace files with other contents; otherwise these raise BadOutput before
        anything is written.
        """
        return [result.path for result in self.fetch_each(folder, overwrite=overwrite)]

    def fetch_each(self, folder: str | Path = ".", *, overwrite: bool = False) -> Iterator[Fetched]:
        """Download as fetch does, and yield each result once it is there, with whether it was before."""
        job = self.refresh()
        yield from fetch_results(self._connection, job, Path(folder), overwrite=overwrite)

    def pause(self) -> JobStatus:
        """Start no more units; those that run are finished."""
        return self._change(wanted="pause")

    def resume(self) -> JobStatus:
        """Go on with a paused job."""
        return self._change(wanted="run")

    def cancel(self) -> JobStatus:
        """End the job; files that are finished stay."""
        return self._change(wanted="cancel")

    def set_priority(self, priority: int) -> JobStatus:
        """Change the priority: 0 to 100; jobs with a higher one run first."""
        return self._change(priority=priority)

    def retry(
        self, units: Sequence[str] | None = None, *, frames: str | None = None, redo: bool = False
    ) -> JobStatus:
        """Try failed units again, also if the job has ended: those that are named, or all.

        units: names. frames: a range such as 1-24, of each film or of the stills in their order. redo:
        those that succeeded are made again too, with all that was made from them.
        """
        asked = {"units": units, "frames": frames, "redo": redo}
        return self._keep(self._connection.send("POST", self._path("/retry"), asked))

    def why(self) -> str:
        """Return in words what the job waits for; empty if it does not wait."""
        return str(self._connection.get(self._path("/why"))["waiting"])

    def units(self, state: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the job's units in their order."""
        yield from self._pages("/units", "units", state=state)

    def log(self) -> Iterator[dict[str, Any]]:
        """Yield every change of a unit's state, oldest first."""
        yield from self._pages("/log", "lines")

    def _pages(self, path: str, rows: str, **query: object) -> Iterator[dict[str, Any]]:
        after = None
        while True:
            page = self._connection.get(self._path(path), after=after, **query)
            yield from page[rows]
            after = page.get("next")
            if after is None:
                return

    def _change(self, **changes: object) -> JobStatus:
        return self._keep(self._connection.send("PATCH", self._path(), changes))

    def _keep(self, answer: dict[str, Any]) -> JobStatus:
        self.status = JobStatus.model_validate(answer)
        return self.status

    def _path(self, rest: str = "") -> str:
        return f"/api/jobs/{self.id}{rest}"
