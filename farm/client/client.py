"""A client of a farm's service: submit jobs and look at what there is."""

import logging
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from farm.client.connection import Connection, quoted
from farm.client.job_handle import JobHandle
from farm.client.job_status import JobStatus
from farm.client.sending import LocalFiles, send_file
from farm.errors import ServerSilent, ServerUnavailable, UserError
from farm.settings import Settings

PAGE: Final = 200

_log = logging.getLogger("farm.client")


class Client:
    """Asks a farm for work: ``Client("http://render:8420").submit("dream", "a.jpg", "photos/b.png")``.

    server, token: FARM_SERVER and FARM_TOKEN if they are not given. Every method raises UserError
    if the farm refuses, ServerUnavailable if none answers, and its subclasses ServerFailed if the farm
    answers with an error of its own, and ServerSilent if it takes a request and does not answer.
    """

    def __init__(self, server: str | None = None, token: str | None = None) -> None:
        settings = Settings()
        address = server or settings.server
        if not address:
            raise UserError(
                "no farm is named; start one with `farm serve`, and give its URL as server or FARM_SERVER"
            )
        secret = settings.token.get_secret_value() if token is None else token
        self._connection = Connection(address, secret)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def server(self) -> str:
        """The farm's URL."""
        return self._connection.server

    def submit(
        self,
        task: str,
        inputs: str | Path | Sequence[str | Path],
        output: str,
        options: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> JobHandle:
        """Submit a job and return it.

        inputs: ROOT/path below a root of the farm, or files of this machine, which are uploaded;
        a path that begins with ./ is always one of this machine. output: ROOT/path. options: what
        else the farm takes in a request, such as frames, film, plan, priority and token:
        ``{"plan": {"size": "long=640", "seed": 7}}``. The same token gives the same job, however
        often it is submitted. params: the task's own; files that they name are uploaded too.

        A farm that does not answer is asked once more for the same job. If it stays silent, it may take
        the job all the same, and ServerSilent names the token that leads to it.

        What the farm has to say of the inputs, such as subfolders that it leaves out, is in the job's
        status.notes, and is logged by the logger farm.client, which Python prints to standard error.
        """
        request = self._request(task, inputs, output, options, params)
        job = self._handle(self._submitted(request))
        for note in job.status.notes:
            _log.warning("%s", note)
        return job

    def _submitted(self, request: Mapping[str, Any]) -> Any:
        """Send a submission, a second time if the farm does not answer, and return the answer."""
        try:
            return self._connection.send("POST", "/api/jobs", request)
        except ServerSilent as first:
            try:
                return self._connection.send("POST", "/api/jobs", request)
            except ServerUnavailable as error:
                again = error.seconds if isinstance(error, ServerSilent) else 0
                seconds = first.seconds + again
                raise ServerSilent(self.server, seconds, _may_be_taken(request)) from error

    def estimate(
        self,
        task: str,
        inputs: str | Path | Sequence[str | Path],
        output: str,
        options: Mapping[str, Any] | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Return what a job would cost: units, pixels, seconds, bytes, and notes; as submit otherwise.

        What the farm has not measured yet is None. Files of this machine are uploaded, and stay.
        """
        request = self._request(task, inputs, output, options, params)
        found: dict[str, Any] = self._connection.send("POST", "/api/jobs", request, dry_run=True)
        return found

    def _request(
        self,
        task: str,
        inputs: str | Path | Sequence[str | Path],
        output: str,
        options: Mapping[str, Any] | None,
        params: Mapping[str, Any],
    ) -> dict[str, Any]:
        files = LocalFiles(self._connection, self.roots())
        given = [inputs] if isinstance(inputs, str | Path) else inputs
        return {
            "token": secrets.token_hex(16),
            **(options or {}),
            "task": task,
            "output": files.output(output),  # first, so that nothing is sent if it is refused
            "inputs": [files.input(str(each)) for each in given],
            "params": files.params(params),
        }

    def upload(self, path: str | Path) -> str:
        """Upload a file, unless the farm has it; return its location on the farm.

        An upload that was cut off goes on where it ended. Raises BadInput if the file cannot be read.
        """
        return send_file(self._connection, Path(path))

    def job(self, job: str) -> JobHandle:
        """Return the job with this id, or the only one whose id begins so."""
        return self._handle(self._connection.get(f"/api/jobs/{quoted(job)}"))

    def jobs(
        self, *, state: str | None = None, task: str | None = None, limit: int | None = None
    ) -> Iterator[JobHandle]:
        """Yield jobs, newest first. limit: the most; None for all."""
        after, left = None, limit
        while left is None or left > 0:
            count = PAGE if left is None else min(PAGE, left)
            page = self._connection.get(
                "/api/jobs", state=state, task=task, after=after, limit=count
            )
            yield from map(self._handle, page["jobs"])
            after = page.get("next")
            left = None if left is None else left - len(page["jobs"])
            if after is None:
                return

    def workers(self) -> list[dict[str, Any]]:
        """Return the farm's workers, each with what it does."""
        return list(self._connection.get("/api/workers")["workers"])

    def tasks(self) -> list[dict[str, Any]]:
        """Return the tasks that jobs can have, with the JSON schema of their parameters."""
        return list(self._connection.get("/api/tasks")["tasks"])

    def roots(self) -> list[str]:
        """Return the names of the farm's roots."""
        return list(self._connection.get("/api/roots")["roots"])

    def _handle(self, answer: dict[str, Any]) -> JobHandle:
        return JobHandle(self._connection, JobStatus.model_validate(answer))


def _may_be_taken(request: Mapping[str, Any]) -> str:
    """Return what a farm may have done with a submission that it did not answer, and what to do."""
    return (
        "it may take the job all the same: look for it with `farm jobs`, or submit it again by `farm "
        f"submit --submit-once {shlex.quote(request['token'])}`, or options={{'token': ...}}, which "
        "gives no second job"
    )
