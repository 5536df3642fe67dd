"""Shows what happens to a job of a service until it has ended."""

import json
from typing import TYPE_CHECKING, Final

from farm.cli.exits import Exit
from farm.cli.signals import Interrupted
from farm.cli.streams import echo, write

if TYPE_CHECKING:
    from farm.client import Event, JobHandle, JobStatus

_TOLD: Final = frozenset({"succeeded", "quarantined", "retry_wait", "cancelled"})
"""States of units that are worth a line."""


def watch_job(job: "JobHandle", *, is_json: bool) -> Exit:
    """Show a job's events, one a line, and return the exit code that says how it ended."""
    try:
        for event in job.watch():
            if is_json:
                write(json.dumps({"event": event.kind, **event.data}))
            elif line := _line(event):
                echo(line)
    except Interrupted:
        echo(f"the job goes on; watch it with: farm job {job.id} watch", err=True)
        raise
    echo(_closing(job.status), err=is_json)
    return exit_of(job.status)


def exit_of(job: "JobStatus") -> Exit:
    """Return the exit code of a job that has ended."""
    if job.state == "cancelled":
        return Exit.JOB_CANCELLED
    if job.state == "failed":
        return Exit.JOB_FAILED
    return Exit.DONE if job.is_complete else Exit.FAILED


def _line(event: "Event") -> str:
    data = event.data
    if event.kind != "unit" or data.get("state") not in _TOLD:
        return ""
    reason = f": {data['reason']}" if data.get("reason") else ""
    return f"{data.get('name') or data.get('unit')} {data['state'].replace('_', ' ')}{reason}"


def _closing(job: "JobStatus") -> str:
    reason = f": {job.reason}" if job.reason else ""
    failed = f", {job.failed} failed" if job.failed else ""
    return (
        f"{job.id} {job.state.replace('_', ' ')}{reason}; {job.done} of {job.frames} done{failed}"
    )
