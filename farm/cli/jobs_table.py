"""``farm jobs`` and ``farm workers``: what a farm has, or what this machine ran."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from farm.cli.job_options import Whole
from farm.cli.listings import AS_JSON
from farm.cli.local_jobs import (
    INTERRUPTED_STATE,
    amount_done,
    described_jobs,
    is_before_all_jobs,
    job_state,
    opened_ledger,
    state_word,
)
from farm.cli.remote import SERVER, client_of, server_of
from farm.cli.repeated import Command
from farm.cli.root import registry_of
from farm.cli.sheet_folder import forget_abandoned
from farm.cli.streams import echo
from farm.cli.table import show_json, show_table
from farm.errors import UserError
from farm.model.job import Job, JobState
from farm.model.sent_files import sent_name

if TYPE_CHECKING:
    from farm.ledger import Ledger

_COLUMNS: Final = ("job", "task", "state", "done", "created", "name")
_WORKER_COLUMNS: Final = ("worker", "kind", "node", "device", "state", "unit", "done")


@click.command(cls=Command)
@click.option(
    "--state",
    metavar="STATE",
    help=f"Only jobs in this state: {', '.join(JobState)}. A job has failed as a whole; one of which "
    "some frames failed is completed_with_failures. In this machine's ledger, one whose farm is dead "
    "is interrupted.",
)
@click.option("--task", metavar="TASK", help="Only jobs of this task.")
@click.option(
    "--limit", type=Whole(1), default=50, show_default=True, metavar="N", help="At most N."
)
@SERVER
@AS_JSON
@click.pass_context
def jobs(
    context: click.Context,
    *,
    state: str | None,
    task: str | None,
    limit: int,
    server: str | None,
    is_json: bool,
) -> None:
    """List jobs, newest first: those of a farm, or else those in this machine's ledger."""
    if asked := server_of(server):
        if state == INTERRUPTED_STATE:
            raise UserError(
                f"a job is {INTERRUPTED_STATE} only in the ledger of this machine, and the farm at {asked} goes "
                "on with its own when it starts; leave --server out, and FARM_SERVER unset, to list them"
            )
        wanted = job_state(state)
        with client_of(server) as client:
            handles = client.jobs(state=wanted, task=task, limit=limit)
            rows = [handle.status.model_dump() for handle in handles]
    else:
        rows = [] if is_before_all_jobs() else _stored(limit, state, task)
        if task and not rows:
            registry_of(context).task(task)  # raises UnknownName
    if is_json:
        show_json(rows)
        return
    show_table(map(_row, rows), _COLUMNS)
    if not (rows or state or task):
        echo("no jobs yet", err=True)


def _stored(limit: int, state: str | None, task: str | None) -> list[dict[str, Any]]:
    with opened_ledger() as ledger:
        forget_abandoned(ledger)
        return described_jobs(ledger, _jobs_in(ledger, limit, state, task))


def _jobs_in(ledger: "Ledger", limit: int, state: str | None, task: str | None) -> list[Job]:
    """Return the newest jobs whose state is shown in this word, if one is given. Raises UnknownName."""
    if state == INTERRUPTED_STATE:
        return ledger.abandoned_jobs(time.time(), limit, task)
    if (wanted := job_state(state, INTERRUPTED_STATE)) is not None:
        return ledger.tended_jobs(time.time(), limit, wanted, task)
    return ledger.jobs(limit=limit, task=task)


def _row(job: Mapping[str, Any]) -> dict[str, object]:
    return {
        "job": job["id"],
        "task": job["task"],
        "state": state_word(job),
        "done": amount_done(job),
        "created": date(job["created"]),
        "name": job["spec"].get("name") or _way(job["spec"]),
    }


def _way(spec: Mapping[str, Any]) -> str:
    """Return what a job reads and writes, for one that nobody has named."""
    first, *others = map(sent_name, spec.get("inputs") or [""])
    more = f" and {len(others)} more" if others else ""
    return f"{first}{more} -> {spec.get('output', '')}"


def date(at: float) -> str:
    """Return a Unix time as a local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


@click.command(cls=Command)
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
