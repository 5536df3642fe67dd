"""Run one job: show its progress, and report how it ends."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click

from farm.app import make_executor, open_farm
from farm.cli.display import make_display
from farm.cli.exits import Exit
from farm.cli.flicker import describe_flicker
from farm.cli.running import Running
from farm.cli.tally import Tally
from farm.control.controller import Controller, Observer
from farm.host.registry import Registry
from farm.host.task import Run
from farm.ledger import Ledger
from farm.model.job import Job, JobSpec, JobState
from farm.planning.film_outputs import film_outputs

if TYPE_CHECKING:
    from farm.cli.live import LiveView


def render(registry: Registry, spec: JobSpec, running: Running) -> Exit:
    """Run a job to its end and return the exit code. Raises UserError if the job is refused."""
    tally = Tally()
    with ExitStack() as stack:
        display = make_display(tally, is_json=running.is_json)
        stack.callback(display.close)
        observers: list[Observer] = [tally, display]
        view = _open_live_view(running.live_port, stack)
        if view:
            observers.append(view)
        make = partial(make_executor, registry, spec, running.pool(spec.plan.threads))
        farm = stack.enter_context(
            open_farm(registry, make, observers=observers, metrics_port=running.metrics_port)
        )
        if view:
            click.echo(f"watch the frames at http://127.0.0.1:{view.port}/", err=True)
        farm.controller.submit(spec, resume=running.is_resumed)
        tally.total = farm.controller.scheduler.frame_count()
        job = _run(farm.controller)
        is_run = issubclass(registry.task(spec.task), Run)
        code = _report_end(job, tally, "trained" if is_run else "rendered", is_json=running.is_json)
        if job.state is JobState.COMPLETED and spec.film.coherence != "none":
            _report_flicker(farm.ledger, job)
    return code


def _run(controller: Controller) -> Job:
    with _catch_interrupt() as is_interrupted:
        (job,) = controller.run(is_interrupted)
        if not job.state.is_final:
            controller.stop()
    return controller.scheduler.job(job.id)


@contextmanager
def _catch_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C was pressed. A second Ctrl-C ends the process."""
    interrupts: list[int] = []

    def on_interrupt(number: int, _frame: FrameType | None) -> None:
        interrupts.append(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    previous = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: bool(interrupts)
    finally:
        signal.signal(signal.SIGINT, previous)


def _open_live_view(port: int | None, stack: ExitStack) -> "LiveView | None":
    if port is None:
        return None
    from farm.cli.live import serve_live_view

    return stack.enter_context(serve_live_view(port))


def _report_end(job: Job, tally: Tally, verb: str, *, is_json: bool) -> Exit:
    """Print what failed and the closing line, and return the exit code."""
    for line in tally.failure_lines():
        click.echo(line, err=True)
    if job.state is JobState.FAILED:
        click.echo(f"the job failed: {job.reason}", err=True)
    if not job.state.is_final:
        click.echo(f"interrupted; resume with: {_resume_command()}", err=True)
        return Exit.INTERRUPTED
    skipped = f", skipped {tally.skipped} already finished" if tally.skipped else ""
    failed = f", {len(tally.failed)} failed" if tally.failed else ""
    click.echo(f"{verb} {tally.done}{skipped}{failed}; output: {job.spec.output}", err=is_json)
    is_complete = job.state is JobState.COMPLETED and not tally.failed
    return Exit.DONE if is_complete else Exit.FAILED


def _report_flicker(ledger: Ledger, job: Job) -> None:
    """Print how much each film of a coherent job flickers."""
    from farm.media.film import read_film
    from farm.media.flicker import compare, frames_of

    records = ledger.units(job.id)
    written = {record.unit.target for record in records if record.state.is_done}
    for film in film_outputs([record.unit for record in records]):
        if len(film.frames) > 1 and film.target in written:
            rendered = frames_of(read_film(film.target))
            flicker = compare(film.frames, rendered, film.cuts)
            click.echo(describe_flicker(flicker), err=True)


def _resume_command() -> str:
    words = ["farm", *sys.argv[1:]]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])
