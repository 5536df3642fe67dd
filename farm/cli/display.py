"""Who shows a job while it runs: a bar at a terminal, lines in a pipe, JSON for machines."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from farm.cli.tally import Tally
from farm.model.events import (
    JobChanged,
    News,
    Notice,
    Progressed,
    ReadProgress,
    StaleReport,
    UnitChanged,
    WorkerChanged,
)
from farm.model.unit import UnitState

if TYPE_CHECKING:
    from rich.progress import TaskID

SHOWN: Final = 8
"""Frames in work that get a bar of their own."""

QUIET_SECONDS: Final = 30.0
"""How long lines stay away while there is progress to tell."""


class Display(Protocol):
    """Shows what it hears of; an observer of the controller."""

    def on_event(self, event: News) -> None:
        """Hear what happened; the tally has heard it already."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_display(tally: Tally, *, is_json: bool) -> Display:
    """Return the display that fits who is looking."""
    if is_json:
        return JsonDisplay()
    return BarDisplay(tally) if sys.stderr.isatty() else LineDisplay(tally)


class JsonDisplay:
    """One JSON object per event on standard output, and nothing else there."""

    def on_event(self, event: News) -> None:
        click.echo(json.dumps(as_dict(event)))

    def close(self) -> None:
        sys.stdout.flush()


class LineDisplay:
    """One line on standard error for each frame that is done or tried again.

    Where nothing ends for a while, one on how far a frame is. Those that failed are listed when
    the job ends. clock: seconds from anywhere.
    """

    def __init__(self, tally: Tally, clock: Callable[[], float] = time.monotonic) -> None:
        self._tally, self._url = tally, ""
        self._clock, self._last = clock, clock()

    def on_event(self, event: News) -> None:
        line = self._line(event)
        if line:
            self._last = self._clock()
            click.echo(line, err=True)

    def close(self) -> None:
        sys.stderr.flush()

    def _line(self, event: News) -> str:
        match event:
            case ReadProgress():
                return self._reading(event)
            case Notice():
                return f"{event.url}: {event.note}"
            case UnitChanged():
                return self._unit(event)
            case Progressed(unit, progress) if self._clock() - self._last >= QUIET_SECONDS:
                return f"{unit.name} {progress.done:.0%}  {progress.note}".rstrip()
            case _:
                return ""

    def _unit(self, event: UnitChanged) -> str:
        place = f"[{self._tally.ended}/{self._tally.total or '?'}] {event.unit.name}"
        match event.state:
            case UnitState.SUCCEEDED:
                seconds = sum(event.figures.seconds.values()) if event.figures else 0.0
                target = "" if event.unit.is_working else f" -> {event.unit.target}"
                return f"{place}{target}  {seconds:.1f} s"
            case UnitState.RETRY_WAIT:
                return f"{place} will be tried again: {event.reason}"
            case _:
                return ""

    def _reading(self, event: ReadProgress) -> str:
        """Return a line when a film begins to be read."""
        is_new, self._url = event.url != self._url, event.url
        return f"reading {event.url}" if is_new else ""


class BarDisplay:
    """Bars on standard error: the whole job, and the frames in work."""

    def __init__(self, tally: Tally) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._tally, self._began = tally, time.monotonic()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[told]}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._all = self._progress.add_task("frames", told="starting", total=None)
        self._bars: dict[str, TaskID] = {}
        self._progress.start()

    def on_event(self, event: News) -> None:
        if isinstance(event, UnitChanged) and event.state is UnitState.RETRY_WAIT:
            self._say(f"{event.unit.name} will be tried again: {event.reason}")
        if isinstance(event, Notice):
            self._say(f"{event.url}: {event.note}")
        if isinstance(event, ReadProgress):
            told = f"reading {event.url}  {event.done:.0%}"
            self._progress.update(self._all, completed=0, total=None, told=told)
            return
        if isinstance(event, Progressed):
            self._show_frame(event)
        for name in self._bars.keys() - self._tally.running.keys():
            self._progress.remove_task(self._bars.pop(name))
        self._show_all()

    def close(self) -> None:
        self._progress.stop()

    def _say(self, line: str) -> None:
        """Leave a line above the bars."""
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _show_frame(self, event: Progressed) -> None:
        name, done = event.unit.name, event.progress.done
        if name not in self._bars:
            if len(self._bars) >= SHOWN:
                return
            self._bars[name] = self._progress.add_task(name, told="", total=1.0)
        told = f"{done:.0%}  {event.progress.note}"
        self._progress.update(self._bars[name], completed=done, told=told)

    def _show_all(self) -> None:
        tally, elapsed = self._tally, time.monotonic() - self._began
        parts = [f"{tally.ended}/{tally.total}", f"{tally.tiles_so_far} tiles"]
        if tally.pixels:
            parts.append(f"{tally.megapixels_per_second(elapsed):.2f} Mpx/s")
        left = tally.seconds_left(elapsed)
        if left is not None:
            parts.append(f"{duration(left)} left")
        self._progress.update(
            self._all,
            completed=tally.ended + sum(tally.running.values()),
            total=tally.total or None,
            told="  ".join(parts),
        )


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 8 s, 1:05, 2:00:00."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_NAMES: Final[dict[type[News], str]] = {
    Notice: "note",
    ReadProgress: "reading",
    StaleReport: "stale",
    WorkerChanged: "worker",
}
"""Of events that are told as they are."""


def as_dict(event: News) -> dict[str, Any]:
    """Return an event as machines read it; "event" says which one it is."""
    match event:
        case JobChanged(job):
            return {
                "event": "job",
                "job": job.id,
                "task": job.spec.task,
                "state": job.state,
                "reason": job.reason,
            }
        case UnitChanged():
            return _unit_dict(event)
        case Progressed(unit, progress):
            return {
                "event": "progress",
                "job": unit.job,
                "frame": unit.name,
                "done": progress.done,
                "note": progress.note,
                "tiles": progress.tiles,
                "worker": progress.worker,
            }
        case _:
            return {"event": _NAMES[type(event)], **asdict(event)}


def _unit_dict(event: UnitChanged) -> dict[str, Any]:
    return {
        "event": "frame",
        "job": event.unit.job,
        "frame": event.unit.name,
        "source": event.unit.source,
        "target": event.unit.target,
        "state": event.state,
        "attempt": event.attempt,
        "reason": event.reason,
        "worker": event.worker,
        "figures": asdict(event.figures) if event.figures else None,
        "failure": asdict(event.failure) if event.failure else None,
    }
