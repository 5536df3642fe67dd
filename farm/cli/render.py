"""Run one job: show its progress, and report how it ends."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from farm import storage
from farm.app import Farm, make_executor, open_farm
from farm.cli.display import Display, make_display
from farm.cli.exits import Exit, exit_code
from farm.cli.flicker import describe_flicker
from farm.cli.local_jobs import missing_ledger
from farm.cli.running import Running
from farm.cli.signals import Interrupted, signals
from farm.cli.streams import OutputLost, echo, echo_traceback
from farm.cli.tally import Tally
from farm.control.announcing import Observer
from farm.control.controller import Controller
from farm.host.registry import Registry
from farm.host.task import Run
from farm.ledger import Ledger
from farm.model.job import COMPLETED, Job, JobSpec, JobState
from farm.model.job_counts import share_seen
from farm.model.unit import Unit
from farm.planning.film_outputs import film_outputs
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.cli.live import LiveView


def render(registry: Registry, spec: JobSpec, running: Running) -> Exit:
    """Run a job to its end and return the exit code. Raises UserError if the job is refused."""
    try:
        return _render(registry, spec, running)
    except Interrupted as interrupted:
        return _report_interrupted(interrupted, running)


def _render(registry: Registry, spec: JobSpec, running: Running) -> Exit:
    tally = Tally()
    with ExitStack() as stack:
        is_run = issubclass(registry.task(spec.task), Run)
        display = make_display(tally, is_json=running.is_json, is_run=is_run)
        stack.callback(display.close)
        observers: list[Observer] = [tally, display]
        view = _open_live_view(running.live_port, stack)
        if view:
            observers.append(view)
        make = partial(make_executor, registry, running.pool(spec.plan.threads))
        created = list(missing_ledger(Settings()))
        farm = stack.enter_context(
            open_farm(registry, make, observers=observers, metrics_port=running.metrics_port)
        )
        if view:
            echo(f"watch the frames at http://127.0.0.1:{view.port}/", err=True)
        added = farm.controller.add(spec, resume=running.is_resumed)
        for notice in created:
            display.on_event(notice)
        tally.total = farm.controller.scheduler.frame_count()
        if spec.film.coherence != "none" or spec.film.is_loop:
            tally.share = share_seen(_units(farm, added))
        job = _run(farm.controller, display)
        code = _report_end(job, tally, running, is_run=is_run)
        if job.state in COMPLETED and spec.film.coherence != "none":
            try:
                _report_flicker(farm.ledger, job)
            except Interrupted as interrupted:
                echo(
                    "interrupted; the film is complete, but its flicker was not measured", err=True
                )
                code = exit_code(interrupted)
    return code


def _units(farm: Farm, job: Job) -> Iterator[Unit]:
    """Yield the units of a job, from memory unless it has ended at once."""
    if job.state.is_final:
        yield from (record.unit for record in farm.ledger.units(job.id))
    else:
        yield from (entry.unit for entry in farm.controller.scheduler.units(job.id))


def _run(controller: Controller, display: Display) -> Job:
    """Run the only job until it ends or a signal arrives. Raises OutputLost once it has stopped."""
    with signals.deferred() as has_arrived:
        try:
            (job,) = controller.run(has_arrived)
        except OutputLost:
            controller.stop()
            raise
        if not job.state.is_final:
            display.close()  # a second signal ends the process, which restores no terminal
            if signals.arrived:
                echo("stopping; a second signal ends the command at once", err=True)
            controller.stop()
    return controller.scheduler.job(job.id)


def _open_live_view(port: int | None, stack: ExitStack) -> "LiveView | None":
    if port is None:
        return None
    from farm.cli.live import serve_live_view

    return stack.enter_context(serve_live_view(port))


def _report_end(job: Job, tally: Tally, running: Running, *, is_run: bool) -> Exit:
    """Print what failed and the closing line, and return the exit code."""
    if running.shows_traceback:
        for trace in tally.tracebacks.values():
            echo_traceback(trace)
    has_failed = job.state is JobState.FAILED
    for line in tally.failure_lines(job.reason if has_failed else ""):
        echo(line, err=True)
    if has_failed:
        echo(f"the job failed: {job.reason}", err=True)
    if not job.state.is_final and signals.arrived:
        return _report_interrupted(signals.arrived, running)
    if job.state is JobState.PAUSED:
        echo(f"the job is paused: {job.reason}", err=True)
    is_complete = job.state is JobState.COMPLETED and not tally.failed
    with suppress(OutputLost):  # the files are written all the same
        trained = is_run and is_complete
        closing = _trained(job, tally) if trained else _rendered(job, tally, is_run=is_run)
        echo(closing, err=running.is_json)
    return Exit.DONE if is_complete else Exit.FAILED


def _trained(job: Job, tally: Tally) -> str:
    """Return the closing line of a run that is finished, with the page to look at."""
    from farm.engine.training.runs import PAGE, describe_skipped

    folder = storage.absolute(job.spec.output)
    page = storage.join(folder, PAGE)
    verb = "trained" if tally.done else "already trained:"
    look = f"; look at {page}" if storage.is_file(page) else ""
    skipped = describe_skipped(folder)
    return f"{verb} {folder}{look}" + (f"; {skipped}" if skipped else "")


def _rendered(job: Job, tally: Tally, *, is_run: bool) -> str:
    """Return the closing line of any other job."""
    skipped = f", skipped {tally.seen(tally.skipped)} already finished" if tally.skipped else ""
    failed = _counted(tally, tally.failed_frames - tally.untried, "failed")
    untried = _counted(tally, tally.failed_frames & tally.untried, "not tried")
    verb = "trained" if is_run else "rendered"
    output = f"output: {job.spec.output}" if tally.written or is_run else "no file was written"
    return f"{verb} {tally.seen(tally.done)}{skipped}{failed}{untried}; {output}"


def _counted(tally: Tally, frames: Collection[str], what: str) -> str:
    return f", {tally.seen(len(frames))} {what}" if frames else ""


def _report_interrupted(interrupted: Interrupted, running: Running) -> Exit:
    echo(f"{interrupted}; resume with: {running.resume_command}", err=True)
    return exit_code(interrupted)


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
            echo(describe_flicker(flicker), err=True)
