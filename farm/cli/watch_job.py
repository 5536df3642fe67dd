"""Shows what happens to a job of a service until it has ended."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from farm.cli.exits import Exit
from farm.cli.local_jobs import amount_done
from farm.cli.signals import Interrupted
from farm.cli.streams import echo, write
from farm.client.job_status import ENDED
from farm.errors import FarmError
from farm.model.job import in_words

if TYPE_CHECKING:
    from farm.client import Event, JobHandle, JobStatus

_TOLD: Final = frozenset({"succeeded", "quarantined", "retry_wait"})
"""States of units that are worth a line. That they are cancelled is said once, of the job."""

_WORDS: Final = {"quarantined": "failed", "retry_wait": "failed, and is tried again"}


def watch_job(job: "JobHandle", *, is_json: bool) -> Exit:
    """Show a job's events, one a line, and return the exit code that says how it ended."""
    story = _Story()
    try:
        for event in job.watch():
            if is_json:
                write(json.dumps({"event": event.kind, **event.data}))
            else:
                for line in story.lines(event):
                    echo(line)
    except Interrupted:
        echo(f"the job goes on; watch it with: farm job {job.id} watch", err=True)
        raise
    if job.status.failed and not is_json:
        for line in story.failures(job):
            echo(line)
    echo(_closing(job.status), err=is_json)
    if job.status.failed:
        echo(f"try them again with: farm job {job.id} retry", err=True)
    return exit_of(job.status)


class _Story:
    """What has been told of a job, so that nothing is said twice."""

    def __init__(self) -> None:
        self._reason, self._is_away = "", False
        self._failed = set[str]()

    def lines(self, event: "Event") -> Iterator[str]:
        """Yield what is worth a line in an event."""
        if event.kind == "away":
            self._is_away = True
            yield f"the farm does not answer ({event.data['reason']}); trying again for a minute"
        elif self._is_away:
            self._is_away = False
            yield "the farm answers again"
        if event.kind == "unit":
            yield from self._of_unit(event.data)
        elif event.kind == "job" and event.data.get("state") not in ENDED:
            yield from self._of_job(event.data)

    def _of_unit(self, data: Mapping[str, Any]) -> Iterator[str]:
        name, state = str(data.get("name") or data.get("unit")), data.get("state")
        if state in _TOLD:
            if state == "quarantined":
                self._failed.add(name)
            yield _unit_line(name, str(state), data.get("reason"))

    def _of_job(self, data: Mapping[str, Any]) -> Iterator[str]:
        reason = str(data.get("reason") or "")
        if reason and reason != self._reason:
            yield f"{data['state']}: {reason}"
        self._reason = reason

    def failures(self, job: "JobHandle") -> Iterator[str]:
        """Yield a line for each unit that failed before anybody watched."""
        with suppress(FarmError):  # the job has ended, whether or not the farm can say more
            for unit in job.units(state="quarantined"):
                if unit["name"] not in self._failed:
                    yield _unit_line(unit["name"], "quarantined", unit.get("reason"))


def exit_of(job: "JobStatus") -> Exit:
    """Return the exit code of a job that has ended."""
    if job.state == "cancelled":
        return Exit.JOB_CANCELLED
    if job.state == "failed":
        return Exit.JOB_FAILED
    return Exit.DONE if job.is_complete else Exit.FAILED


def _unit_line(name: str, state: str, reason: object) -> str:
    return f"{name} {_WORDS.get(state, state)}{f': {reason}' if reason else ''}"


def _closing(job: "JobStatus") -> str:
    reason = f": {job.reason}" if job.reason not in {"", job.state} else ""
    return f"{job.id} {in_words(job.state)}{reason}; did {amount_done(job.model_dump())}"
