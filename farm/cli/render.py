"""Run one job here: join registry, executor, ledger and displays, and say how it ended."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import click

from farm.app import make_executor, open_farm
from farm.cli.display import make_display
from farm.cli.exits import Exit
from farm.cli.live import Live
from farm.cli.running import Running
from farm.cli.tally import Tally
from farm.control.controller import Controller, Observer
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import Job, JobSpec, JobState
from farm.planning.film_outputs import film_outputs


def render(registry: Registry, spec: JobSpec, running: Running) -> Exit:
    """Run the job to its end, showing it, and return the exit code. Raises UserError."""
    tally = Tally()
    with ExitStack() as stack:
        display = make_display(tally, is_json=running.is_json)
        stack.callback(display.close)
        observers: list[Observer] = [tally, display]
        if running.live_port is not None:
            observers.append(_serve_live(running.live_port, stack))
        threads = spec.plan.threads
        executor = make_executor(registry, spec, threads, running.pool(threads))
        farm = stack.enter_context(
            open_farm(registry, executor, observers=observers, metrics_port=running.metrics_port)
        )
        farm.controller.submit(spec, resume=running.is_resumed)
        tally.total = farm.controller.scheduler.frame_count()
        job = _run(farm.controller)
        code = _report_end(job, tally, is_json=running.is_json)
        if job.state is JobState.COMPLETED and spec.film.coherence != "none":
            _report_flicker(farm.ledger, job)
    return code


def _run(controller: Controller) -> Job:
    with _interruptible() as is_asked:
        (job,) = controller.run(is_asked)
        if not job.state.is_final:
            controller.stop()
    return controller.scheduler.job(job.id)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Yield what says whether Ctrl-C was pressed; pressed again, it ends the process."""
    asked: list[int] = []

    def ask(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: bool(asked)
    finally:
        signal.signal(signal.SIGINT, before)


def _serve_live(port: int, stack: ExitStack) -> Live:
    live = Live()
    port, close = live.serve(port)
    stack.callback(close)
    click.echo(f"frames are shown at http://127.0.0.1:{port}/", err=True)
    return live


def _report_end(job: Job, tally: Tally, *, is_json: bool) -> Exit:
    """Say how the job ended, and return the exit code for it."""
    for name, reason in tally.failed.items():
        click.echo(f"failed: {name}: {reason}", err=True)
    if not job.state.is_final:
        click.echo(f"interrupted; to go on: {_again()}", err=True)
        return Exit.INTERRUPTED
    before = f", {tally.skipped} finished before" if tally.skipped else ""
    failed = f", {len(tally.failed)} failed" if tally.failed else ""
    click.echo(f"{tally.done} done{before}{failed}: {job.spec.output}", err=is_json)
    is_well = job.state is JobState.COMPLETED and not tally.failed
    return Exit.DONE if is_well else Exit.FAILED


def _report_flicker(ledger: Ledger, job: Job) -> None:
    """Say how much the films of a coherent job flicker."""
    from farm.cli.flicker import told
    from farm.media.film import read_film
    from farm.media.flicker import compare, frames_of

    records = ledger.units(job.id)
    written = {record.unit.target for record in records if record.state.is_done}
    for made in film_outputs([record.unit for record in records]):
        if len(made.frames) > 1 and made.target in written:
            rendered = frames_of(read_film(made.target))
            click.echo(told(compare(made.frames, rendered, made.cuts)), err=True)


def _again() -> str:
    words = ["farm", *sys.argv[1:]]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])
