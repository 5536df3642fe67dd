"""Renders several jobs, one after another in one farm, into a folder that is removed afterwards."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from farm import storage
from farm.app import Farm, make_executor, open_farm
from farm.cli.display import Display, make_display
from farm.cli.local_jobs import missing_ledger
from farm.cli.sheet_folder import forget_abandoned
from farm.cli.signals import signals
from farm.cli.tally import Tally
from farm.control.announcing import Observer
from farm.errors import BadInput, BadOutput, UserError
from farm.host.registry import Registry
from farm.media import WRITABLE, read_record, read_still, write_still
from farm.media.contact_sheet import contact_sheet
from farm.model.events import News, Notice, Progressed, UnitChanged
from farm.model.job import JobSpec, Wanted
from farm.model.unit import Unit
from farm.planning.film_footage import NO_SOUND
from farm.planning.outputs import Inputs, check_output
from farm.settings import Settings

__all__ = ["check_sheet", "render_all", "write_sheet"]

RECORD: Final = {"drawn": "farm"}
"""What a sheet says of itself."""


def check_sheet(output: str, files: Sequence[str]) -> None:
    """Raise BadOutput if a sheet cannot be written there, or would replace anything but a sheet.

    files: paths and URLs that the pictures are rendered from.
    """
    if storage.suffix(output).lower() not in WRITABLE:
        raise BadOutput(output, f"a sheet is a picture; give one of {', '.join(WRITABLE)}")
    check_output(output, ())
    Inputs(files).check([output])
    if storage.exists(output) and not _is_sheet(output):
        raise BadOutput(output, "it exists, and is no sheet of the farm; choose another path")


def _is_sheet(file: str) -> bool:
    try:
        return read_record(file) == RECORD
    except BadInput:
        return False


def render_all(registry: Registry, specs: Sequence[JobSpec], texts: Sequence[str] = ()) -> None:
    """Render jobs to their end, and leave them in no list. Raises UserError.

    texts: tell the jobs apart, if they render the same file.
    It is raised before the first is rendered if one is refused, and if no frame could be rendered.
    """
    tally = Tally()
    by_target = dict(zip((storage.absolute(spec.output) for spec in specs), texts, strict=False))
    with ExitStack() as stack:
        display = make_display(tally, is_json=False, names_targets=False)
        stack.callback(display.close)
        created = list(missing_ledger(Settings()))
        farm = stack.enter_context(
            open_farm(
                registry,
                partial(make_executor, registry, None),
                observers=[_ToldApart([tally, _OnceEach(display)], by_target)],
            )
        )
        forget_abandoned(farm.ledger)
        jobs: list[str] = []
        stack.callback(_forget, farm, jobs)
        for spec in specs:
            jobs.append(farm.controller.add(spec).id)  # noqa: PERF401 - also before a refused one
        for notice in created:
            display.on_event(notice)
        tally.total = farm.controller.scheduler.frame_count()
        with signals.deferred() as has_arrived:
            farm.controller.run(has_arrived)
        if signals.arrived:
            farm.controller.stop()
            raise signals.arrived
    if not tally.done:
        raise UserError(next(tally.failure_lines(), "nothing was rendered"))


def _forget(farm: Farm, jobs: Sequence[str]) -> None:
    """End jobs and remove them from the ledger. What their frames took stays there, for estimates."""
    for job in jobs:
        farm.controller.want(job, Wanted.CANCEL)
    farm.controller.run()
    for job in jobs:
        farm.ledger.forget_job(job)


class _ToldApart:
    """Adds to the name of each frame the text that tells its job apart. texts: by target."""

    def __init__(self, observers: Sequence[Observer], texts: Mapping[str, str]) -> None:
        self._observers, self._texts = observers, texts

    def on_event(self, event: News) -> None:
        match event:
            case UnitChanged():
                event = event._replace(unit=self._named(event.unit))
            case Progressed():
                event = replace(event, unit=self._named(event.unit))
            case _:
                pass
        for observer in self._observers:
            observer.on_event(event)

    def _named(self, unit: Unit) -> Unit:
        return replace(unit, name=f"{unit.name} {self._texts.get(unit.target, '')}".rstrip())


class _OnceEach:
    """Shows what several jobs say alike only once, and nothing of sound, which no sheet has."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._said: set[Notice] = set()

    def on_event(self, event: News) -> None:
        if isinstance(event, Notice):
            if event in self._said or event.note == NO_SOUND:
                return
            self._said.add(event)
        self._display.on_event(event)


def write_sheet(output: str, pictures: Sequence[tuple[str, Path]], columns: int) -> int:
    """Write the pictures that were rendered, each with its text, as a sheet. Return their number."""
    there = [(text, read_still(str(path))) for text, path in pictures if path.exists()]
    write_still(output, contact_sheet(there, columns), RECORD)
    return len(there)
