"""Run one job here: join registry, executor, ledger and displays, and say how it ended."""

import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Final

import click

from farm.checking import task_check
from farm.cli.display import make_display
from farm.cli.exits import Exit
from farm.cli.live import Live
from farm.cli.run import Running
from farm.cli.tally import Tally
from farm.clock import SystemClock
from farm.config import ledger_url
from farm.controller import Controller, Observer
from farm.errors import UnknownName, UserError
from farm.executor import Executor, ExecutorOptions
from farm.gang import is_for_gang
from farm.job import Job, JobSpec, JobState
from farm.ledger import Ledger
from farm.metrics import Metrics
from farm.plan import films_of
from farm.registry import Registry

POOL: Final = "ray"
"""Executor of --workers and --address."""

GANG: Final = "ray-gang"
"""Theirs for work that all workers do together."""


def render(registry: Registry, spec: JobSpec, running: Running) -> Exit:
    """Run the job to its end, showing it, and return the exit code. Raises UserError."""
    tally = Tally()
    with ExitStack() as stack:
        ledger = Ledger.open(ledger_url())
        stack.callback(ledger.close)
        display = make_display(tally, is_json=running.is_json)
        stack.callback(display.close)
        observers: list[Observer] = [tally, display]
        metrics = _served_metrics(registry, running, stack)
        if metrics:
            observers.append(metrics)
        if running.live_port is not None:
            observers.append(_served_live(running.live_port, stack))
        executor = _make_executor(registry, spec, running)
        stack.callback(executor.close)
        controller = Controller(
            registry, executor, ledger, observers=observers, check=task_check(registry)
        )
        if metrics:
            metrics.watch(controller.scheduler)
        controller.submit(spec, resume=running.is_resumed)
        tally.total = controller.scheduler.frame_count()
        job = _run(controller)
        code = _told(job, tally, is_json=running.is_json)
        if job.state is JobState.COMPLETED and spec.film.coherence != "none":
            _tell_flicker(ledger, job)
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


def _make_executor(registry: Registry, spec: JobSpec, running: Running) -> Executor:
    threads = spec.plan.threads
    if not running.is_pooled:
        from farm.local import LocalExecutor

        return LocalExecutor(registry, threads)
    is_alone = running.workers == 1
    name = GANG if not is_alone and is_for_gang(registry.task(spec.task), spec) else POOL
    if name not in registry.executors:
        broken = next((p for p in registry.plugins if p.name == POOL and p.reason), None)
        if broken:
            raise UserError(f"no pool: plugin {POOL} is {broken.state}: {broken.reason}")
        raise UnknownName("executor", name, registry.executors)
    options = ExecutorOptions(running.workers, threads, running.address, running.plugins_dir)
    return registry.executors[name](options)


def _served_metrics(registry: Registry, running: Running, stack: ExitStack) -> Metrics | None:
    if running.metrics_port is None:
        return None
    failed = sum(plugin.state == "failed" for plugin in registry.plugins)
    metrics = Metrics(SystemClock(), failed)
    _, close = metrics.serve(running.metrics_port)
    stack.callback(close)
    return metrics


def _served_live(port: int, stack: ExitStack) -> Live:
    live = Live()
    port, close = live.serve(port)
    stack.callback(close)
    click.echo(f"frames are shown at http://127.0.0.1:{port}/", err=True)
    return live


def _told(job: Job, tally: Tally, *, is_json: bool) -> Exit:
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


def _tell_flicker(ledger: Ledger, job: Job) -> None:
    """Say how much the films of a coherent job flicker."""
    from farm.cli.flicker import told
    from farm.media.film import read_film
    from farm.media.flicker import compare, frames_of

    records = ledger.units(job.id)
    written = {record.unit.target for record in records if record.state.is_done}
    for made in films_of([record.unit for record in records]):
        if len(made.frames) > 1 and made.target in written:
            rendered = frames_of(read_film(made.target))
            click.echo(told(compare(made.frames, rendered, made.cuts)), err=True)


def _again() -> str:
    words = ["farm", *sys.argv[1:]]
    return shlex.join(words if "--resume" in words else [*words, "--resume"])
