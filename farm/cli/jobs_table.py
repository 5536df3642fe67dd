"""``farm jobs`` and ``farm workers``: what a farm has, or what this machine ran."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from farm.cli.inspect import AS_JSON
from farm.cli.job_options import Whole
from farm.cli.local_jobs import described_jobs, job_state, opened_ledger, state_word
from farm.cli.remote import SERVER, client_of, server_of
from farm.cli.table import show_json, show_table

_COLUMNS: Final = ("job", "task", "state", "done", "created", "output")
_WORKER_COLUMNS: Final = ("worker", "kind", "node", "device", "state", "unit", "done")


@click.command()
@click.option("--state", metavar="STATE", help="Only jobs in this state, such as running.")
@click.option("--task", metavar="TASK", help="Only jobs of this task.")
@click.option(
    "--limit", type=Whole(1), default=50, show_default=True, metavar="N", help="At most N."
)
@SERVER
@AS_JSON
def jobs(
    *, state: str | None, task: str | None, limit: int, server: str | None, is_json: bool
) -> None:
    """List jobs, newest first: those of a farm, or else those in this machine's ledger."""
    if server_of(server):
        with client_of(server) as client:
            handles = client.jobs(state=state, task=task, limit=limit)
            rows = [handle.status.model_dump() for handle in handles]
    else:
        with opened_ledger() as ledger:
            found = ledger.jobs(limit=limit, state=job_state(state), task=task)
            rows = described_jobs(ledger, found)
    if is_json:
        show_json(rows)
    else:
        show_table(map(_row, rows), _COLUMNS)


def _row(job: Mapping[str, Any]) -> dict[str, object]:
    failed = f", {job['failed']} failed" if job["failed"] else ""
    return {
        "job": job["id"],
        "task": job["task"],
        "state": state_word(job),
        "done": f"{job['done']}/{job['frames']}{failed}",
        "created": date(job["created"]),
        "output": job["spec"].get("output"),
    }


def date(at: float) -> str:
    """Return a Unix time as a local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


@click.command()
@SERVER
@AS_JSON
def workers(*, server: str | None, is_json: bool) -> None:
    """List a farm's workers, and what each of them does."""
    with client_of(server) as client:
        rows = client.workers()
    if is_json:
        show_json(rows)
    else:
        show_table(_worker_rows(rows), _WORKER_COLUMNS)


def _worker_rows(workers: Iterable[Mapping[str, Any]]) -> Iterable[dict[str, object]]:
    for worker in workers:
        unit = worker.get("unit")
        yield {
            **worker,
            "worker": worker["name"],
            "unit": f"{unit['job']} {unit['name']}" if unit else None,
            "done": f"{unit['done']:.0%}" if unit else None,
        }
