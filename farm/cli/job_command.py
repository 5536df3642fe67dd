"""``farm job ID``: show one job, watch it, change what is wanted of it, fetch its results."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from farm.cli.command_line import command_line
from farm.cli.exits import Exit
from farm.cli.job_options import Whole
from farm.cli.jobs_table import date
from farm.cli.listings import AS_JSON
from farm.cli.local_jobs import (
    amount_done,
    described_jobs,
    is_outside,
    opened_ledger,
    own_spec,
    state_word,
    stored_tracebacks,
)
from farm.cli.location import LocalPath, check_named
from farm.cli.remote import SERVER, client_of, server_of
from farm.cli.repeated import CommandGroup
from farm.cli.root import registry_of, shows_traceback
from farm.cli.streams import echo, echo_traceback, write
from farm.cli.table import show_json, show_table
from farm.errors import UserError
from farm.model.job import MOST_URGENT, JobSpec, in_words
from farm.model.sent_files import sent_name
from farm.model.unit import UnitState

if TYPE_CHECKING:
    from farm.client import Fetched, JobHandle, JobStatus

_FAILURES: Final = 5
"""Units that failed and are shown with a job."""

_LOG: Final = ("at", "unit", "state", "attempt", "worker", "reason")


def _checked_id(context: click.Context, _: click.Parameter, value: str) -> str:
    """Return the id of a job. Raises UsageError for the name of an action, whose job was left out."""
    assert isinstance(context.command, click.Group)
    check_named(value, "ID", "the id of a job, which `farm jobs` lists")
    if value in context.command.commands:
        raise click.UsageError(
            f"the job is missing: give farm job ID {value}; `farm jobs` lists their ids"
        )
    return value


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.argument("job_id", metavar="ID", callback=_checked_id)
@click.pass_context
def job(context: click.Context, *, job_id: str) -> None:
    """Show job ID and what became of it, or change what is wanted of it.

    The beginning of an id is enough if no other id begins so.
    Without a farm, show, log and retry look into this machine's own ledger.
    """
    context.meta[__name__] = job_id
    if context.invoked_subcommand is None:
        context.invoke(show, server=None, is_json=False)


def _id() -> str:
    return str(click.get_current_context().meta[__name__])


@job.command()
@SERVER
@AS_JSON
@click.pass_context
def show(context: click.Context, *, server: str | None, is_json: bool) -> None:
    """Show the job with its settings, and the command that runs it again."""
    if server_of(server):
        with client_of(server) as client:
            handle = client.job(_id())
            known = handle.status.model_dump()
            failures = islice(handle.units(state="quarantined"), _FAILURES)
            known["failures"] = [_failure(unit["name"], unit["reason"]) for unit in failures]
    else:
        with opened_ledger() as ledger:
            (known,) = described_jobs(ledger, [ledger.job_like(_id())])
            page = ledger.units_page(known["id"], -1, _FAILURES, UnitState.QUARANTINED)
            known["failures"] = [_failure(one.unit.name, one.reason) for one in page]
    words = ("farm", "submit") if server_of(server) else ("farm",)
    known["command"] = (
        _again_here(context, known)
        if server_of(server) and is_outside(known["spec"])
        else _again(context, known, words)
    )
    if is_json:
        show_json(known)
    else:
        show_table(({"field": f, "value": v} for f, v in _facts(known)), ("field", "value"))


def _failure(unit: str, reason: str) -> dict[str, str]:
    return {"unit": unit, "reason": reason}


def _again(
    context: click.Context, known: Mapping[str, Any], words: Sequence[str], more: Sequence[str] = ()
) -> str | None:
    """Return the command that runs a job again; None if this machine does not have its task."""
    task = registry_of(context).tasks.get(known["task"])
    fields = {name: known["spec"][name] for name in JobSpec.model_fields if name in known["spec"]}
    return command_line(task, JobSpec.model_validate(fields), words, more) if task else None


def _again_here(context: click.Context, known: Mapping[str, Any]) -> str | None:
    """Return the command that runs a job again that was not given to a farm; None elsewhere than there."""
    task, spec = registry_of(context).tasks.get(known["task"]), own_spec(known["id"])
    return command_line(task, spec) if task and spec else None


def _facts(known: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    """Yield what a reader wants to know of a job, by name."""
    spec = known["spec"]
    yield "job", known["id"]
    yield "state", state_word(known)
    if known["reason"] not in {"", state_word(known)}:
        yield "reason", known["reason"]
    yield "created", date(known["created"])
    yield "done", amount_done(known)
    for note in known.get("notes", ()):
        yield "note", note
    for failure in known["failures"]:
        yield "failed", f"{failure['unit']}: {failure['reason'] or 'see the log'}"
    if known["failures"]:
        job = known["id"]
        yield "next", f"farm job {job} log (every attempt), farm job {job} retry (try again)"
    yield "task", known["task"]
    yield "inputs", [sent_name(location) for location in spec.get("inputs", ())]
    yield "output", spec.get("output")
    for name, value in spec.get("params", {}).items():
        if value not in (None, [], {}, ""):
            yield name, value if isinstance(value, str) else json.dumps(value)
    if known["command"]:
        yield "again", known["command"]
    elif is_outside(spec):
        yield "again", f"on the farm's machine, as `farm job {known['id']}` says there"


@job.command()
@SERVER
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object per event.")
def watch(*, server: str | None, is_json: bool) -> Exit:
    """Show what happens until the job has ended.

    Exit codes: 0 every frame is done, 1 some failed, 2 the request is wrong, 3 the job was
    cancelled, 4 it failed, 5 no farm answers, or only with an error, 130 interrupted.
    """
    from farm.cli.watch_job import watch_job

    with client_of(server) as client:
        return watch_job(client.job(_id()), is_json=is_json)


@job.command()
@SERVER
@AS_JSON
def pause(*, server: str | None, is_json: bool) -> None:
    """Start no more frames; those that run are finished."""
    _ask(server, lambda job: job.pause(), _paused, is_json=is_json)


@job.command()
@SERVER
@AS_JSON
def resume(*, server: str | None, is_json: bool) -> None:
    """Go on with the paused job."""
    _ask(server, lambda job: job.resume(), _resumed, is_json=is_json)


@job.command()
@SERVER
@AS_JSON
def cancel(*, server: str | None, is_json: bool) -> None:
    """End the job. Files that are finished stay."""
    _ask(server, lambda job: job.cancel(), _cancelled, is_json=is_json)


@job.command(context_settings={"ignore_unknown_options": True})
@click.argument("number", type=Whole(0, MOST_URGENT))
@SERVER
@AS_JSON
def priority(*, number: int, server: str | None, is_json: bool) -> None:
    """Set the priority to NUMBER, 0 to 100. Jobs with a higher one run first."""
    _ask(
        server,
        lambda job: job.set_priority(number),
        lambda job: f"{job.id} has priority {job.priority}",
        is_json=is_json,
    )


@job.command()
@click.option("--frames", metavar="RANGE", help="Only these, such as 1-24; stills count from 1.")
@click.option("--redo", is_flag=True, help="Also frames that succeeded. Needs --frames.")
@SERVER
@AS_JSON
@click.pass_context
def retry(
    context: click.Context, *, frames: str | None, redo: bool, server: str | None, is_json: bool
) -> None:
    """Try failed frames again, also if the job has ended. Without a farm, print the command that does.

    What was made without them, or from them, such as a film, is made again.
    """
    if server_of(server):
        _ask(
            server,
            lambda job: job.retry(frames=frames, redo=redo),
            lambda job: f"{job.id} is tried again: it is {in_words(job.state)}",
            is_json=is_json,
        )
        return
    if frames or redo:
        raise UserError(
            "only a farm tries some frames alone; start `farm serve`, and give --server"
        )
    with opened_ledger() as ledger:
        (known,) = described_jobs(ledger, [ledger.job_like(_id())])
    registry_of(context).task(known["task"])  # raises UnknownName if this machine does not have it
    known["spec"]["overwrite"] = False  # which --resume excludes
    command = _again(context, known, ("farm",), ("--resume",))
    if is_json:
        show_json({"id": known["id"], "command": command})
    else:
        write(str(command))


@job.command()
@SERVER
@AS_JSON
def why(*, server: str | None, is_json: bool) -> None:
    """Say what the job waits for."""
    with client_of(server) as client:
        waiting = client.job(_id()).why()
    if is_json:
        show_json({"waiting": waiting})
    else:
        echo(waiting or "the job does not wait")


@job.command()
@SERVER
@AS_JSON
@click.pass_context
def log(context: click.Context, *, server: str | None, is_json: bool) -> None:
    """Show every change of a frame's state, oldest first.

    Without a farm, `farm --traceback job ID log` also shows each call that led to a failure.
    """
    if server_of(server):
        with client_of(server) as client:
            lines = list(client.job(_id()).log())
    else:
        lines = _stored_log()
    if is_json:
        show_json(lines)
    else:
        show_table(({**line, "at": date(line["at"])} for line in lines), _LOG)
    if shows_traceback(context) and not server_of(server):
        for trace in stored_tracebacks(_id()):
            echo_traceback(trace)


def _stored_log() -> list[dict[str, Any]]:
    with opened_ledger() as ledger:
        stored, lines, last = ledger.job_like(_id()), list[dict[str, Any]](), 0
        while page := ledger.story(stored.id, last):
            last = page[-1].number
            lines += [{name: getattr(line, name) for name in (*_LOG, "by")} for line in page]
    return lines


@job.command()
@click.option(
    "-o",
    "--output",
    "folder",
    type=LocalPath(is_folder=True),
    default=".",
    help="Folder of this machine.  [default: the current one]",
)
@click.option("--overwrite", is_flag=True, help="Replace files with other contents.")
@SERVER
@AS_JSON
def fetch(*, folder: Path, overwrite: bool, server: str | None, is_json: bool) -> None:
    """Download the results that exist. Those that are in the folder already are kept.

    Without --overwrite, nothing is written if a file there has other contents.
    """
    with client_of(server) as client:
        handle = client.job(_id())
        if is_outside({"output": handle.status.spec.get("output", "")}):
            own = own_spec(handle.id)
            place = own.output if own else f"`farm job {handle.id}` says where, on that machine"
            raise UserError(
                f"job {handle.id} wrote to the farm's own machine, outside its roots: {place}"
            )
        results = list(handle.fetch_each(folder, overwrite=overwrite))
    if not results:
        raise UserError(
            f"job {handle.id} has no results to fetch: it is {in_words(handle.status.state)}"
        )
    if is_json:
        show_json([str(result.path) for result in results])
    else:
        echo(_fetched(results, folder))


def _fetched(results: Sequence["Fetched"], folder: Path) -> str:
    kept = sum(result.was_there for result in results)
    new = len(results) - kept
    if not new:
        files = "the file is" if kept == 1 else f"all {kept:,} files are"
        return f"nothing to fetch: {files} in {folder} already"
    rest = f"; {kept:,} {'was' if kept == 1 else 'were'} there already" if kept else ""
    return f"fetched {new:,} file{'' if new == 1 else 's'} into {folder}{rest}"


def _ask(
    server: str | None,
    change: Callable[["JobHandle"], "JobStatus"],
    answer: Callable[["JobStatus"], str],
    *,
    is_json: bool,
) -> None:
    """Ask a farm to change the job, and say what comes of it."""
    with client_of(server) as client:
        known = change(client.job(_id()))
    if is_json:
        show_json(known.model_dump())
    else:
        echo(answer(known))


def _paused(job: "JobStatus") -> str:
    if job.state == "paused" and not job.running:
        return f"{job.id} is paused; it goes on with: farm job {job.id} resume"
    ending = f"; {_units(job.running, 'run')} to the end" if job.running else ""
    return f"{job.id} is being paused{ending}"


def _resumed(job: "JobStatus") -> str:
    return f"{job.id} goes on"


def _cancelled(job: "JobStatus") -> str:
    if job.state == "cancelled":
        return f"{job.id} is cancelled; files that are finished stay"
    ending = f"; {_units(job.running, 'stop')} first" if job.running else ""
    return f"{job.id} is being cancelled{ending}"


def _units(count: int, verb: str) -> str:
    return f"1 unit {verb}s" if count == 1 else f"{count} units {verb}"
