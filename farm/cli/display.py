"""Show a job while it runs: bars on a terminal, lines in a pipe, or JSON."""

import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Protocol

from farm.cli.pace import Pace
from farm.cli.streams import OutputLost, echo
from farm.cli.tally import Tally
from farm.cli.text import plain
from farm.model.events import (
    FilesMoved,
    JobChanged,
    News,
    Notice,
    Progressed,
    ReadProgress,
    StaleReport,
    UnitChanged,
    WorkerChanged,
    one_by_one,
)
from farm.model.job import JobState
from farm.model.messages import UnitProgress
from farm.model.unit import UnitState

if TYPE_CHECKING:
    from rich.console import Group
    from rich.progress import TaskID

MAX_BARS: Final = 8
"""Number of running frames that have a bar of their own."""

_NUMBER: Final = re.compile(r"\d[\d.]*")

QUIET_SECONDS: Final = 30.0
"""Time without output after which LineDisplay prints progress."""

CHECKPOINT_SECONDS: Final = 10.0
"""Least time between the lines that LineDisplay prints at the checkpoints of a run."""


class Display(Protocol):
    """Shows events as they happen; an observer of the controller."""

    def on_event(self, event: News) -> None:
        """Show an event. The tally has already counted it."""

    def close(self) -> None:
        """Restore the terminal."""


def make_display(
    tally: Tally, *, is_json: bool, names_targets: bool = True, is_run: bool = False
) -> Display:
    """Return the display for JSON, for a terminal or for a pipe. is_run: of a job that trains."""
    if is_json:
        return JsonDisplay()
    if sys.stderr.isatty():
        return BarDisplay(tally, is_run=is_run)
    return LineDisplay(tally, names_targets=names_targets)


class JsonDisplay:
    """Prints one JSON object per event to standard output, and nothing else.

    Raises OutputLost once if nobody reads them any longer.
    """

    def __init__(self) -> None:
        self._is_lost = False

    def on_event(self, event: News) -> None:
        if self._is_lost:
            return
        try:
            for each in one_by_one(event):
                echo(json.dumps(as_dict(each)))
        except OutputLost:
            self._is_lost = True
            raise

    def close(self) -> None:
        """Nothing to restore: every line has been flushed."""


class LineDisplay:
    """Prints a line to standard error for each frame that is rendered or will be retried.

    After QUIET_SECONDS without a line, it prints the progress of a frame. Of a run, it prints the first
    step, the last one, and those with a checkpoint, unless there are too many. Failed frames are listed
    when the job ends. What many frames are retried for is printed once. clock: in seconds.
    names_targets: False if the files are only working files.
    """

    def __init__(
        self,
        tally: Tally,
        clock: Callable[[], float] = time.monotonic,
        *,
        names_targets: bool = True,
    ) -> None:
        self._tally, self._url = tally, ""
        self._names_targets = names_targets
        self._warnings, self._retries = _Warnings(), _Retries()
        self._clock, self._last = clock, clock()
        self._pace = Pace(tally, clock)

    def on_event(self, event: News) -> None:
        self._pace.on_event(event)
        line = self._line(event)
        if line:
            self._last = self._clock()
            echo(line, err=True)

    def close(self) -> None:
        """Nothing to restore: every line has been flushed."""

    def _line(self, event: News) -> str:
        match event:
            case ReadProgress():
                return self._reading(event)
            case Notice() | JobChanged() | WorkerChanged():
                return remark(event)
            case UnitChanged():
                return self._unit(event)
            case Progressed() if warning := self._warnings.new(event):
                return warning
            case Progressed(unit, progress) if self._is_due(progress):
                left = "" if progress.training else self._left()  # a run's note has its own
                return f"{unit.name} {progress.done:.0%}  {progress.note}".rstrip() + left
            case _:
                return ""

    def _is_due(self, progress: UnitProgress) -> bool:
        """Return whether it is time for a line about how far a frame or a run is."""
        quiet, figures = self._clock() - self._last, progress.training
        if figures is None or quiet >= QUIET_SECONDS:
            return quiet >= QUIET_SECONDS
        is_checkpoint = "checkpoint" in figures.seconds and quiet >= CHECKPOINT_SECONDS
        return is_checkpoint or figures.taken == 1 or progress.done >= 1

    def _unit(self, event: UnitChanged) -> str:
        label = f"[{_count(self._tally)}] {event.unit.name}"
        match event.state:
            case UnitState.SUCCEEDED:
                seconds = sum(event.figures.seconds.values()) if event.figures else 0.0
                is_shown = self._names_targets and not event.unit.is_working
                target = f" -> {event.unit.target}" if is_shown else ""
                return f"{label}{target}  {seconds:.1f} s{self._left()}"
            case UnitState.RETRY_WAIT:
                return f"{label} {retried}" if (retried := self._retries.new(event)) else ""
            case UnitState.LEASED if len(event.workers) > 1:
                return f"{label} is shared by {len(event.workers)} workers"
            case _:
                return ""

    def _left(self) -> str:
        seconds = self._pace.seconds_left()
        return f"  {duration(seconds)} left" if seconds and round(seconds) else ""

    def _reading(self, event: ReadProgress) -> str:
        """Return a line if the farm has started to read another film."""
        is_new, self._url = event.url != self._url, event.url
        return f"reading {event.url}" if is_new else ""


class BarDisplay:
    """Draws bars on standard error: one for the job, and one for each running frame.

    A run has one bar, which says that it is being prepared until its first step is reported; and below it
    a line for each part of its note: the step with its losses, the speed, and a warning. is_run: of a job
    that trains.
    """

    def __init__(self, tally: Tally, *, is_run: bool = False) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn

        self._tally, self._began, self._is_run = tally, time.monotonic(), is_run
        self._pace = Pace(tally, time.monotonic)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[status]}", markup=False),
        )
        self._note, self._warnings, self._retries = "", _Warnings(), _Retries()
        self._live = Live(get_renderable=self._drawn, console=Console(stderr=True), transient=True)
        what, status = ("training", "preparing") if is_run else ("frames", "starting")
        self._all = self._progress.add_task(what, status=status, total=None)
        self._bars: dict[str, TaskID] = {}
        self._live.start()

    def on_event(self, event: News) -> None:
        self._pace.on_event(event)
        if isinstance(event, UnitChanged) and len(event.workers) > 1:
            self._print_above(f"{event.unit.name} is shared by {len(event.workers)} workers")
        if isinstance(event, UnitChanged) and (retried := self._retries.new(event)):
            self._print_above(f"{event.unit.name} {retried}")
        if isinstance(event, Notice | JobChanged | WorkerChanged) and (line := remark(event)):
            self._print_above(line)
        if isinstance(event, ReadProgress):
            status = plain(f"reading {event.url}  {event.done:.0%}")
            self._progress.update(self._all, completed=0, total=None, status=status)
            return
        if isinstance(event, Progressed):
            if warning := self._warnings.new(event):
                self._print_above(warning)
            self._show_frame(event)
        for name in self._bars.keys() - self._tally.running.keys():
            self._progress.remove_task(self._bars.pop(name))
            self._note = ""
        self._show_all()

    def close(self) -> None:
        self._live.stop()

    def _drawn(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        return Group(self._progress, *(Text(part) for part in self._note.split("; ") if part))

    def _print_above(self, line: str) -> None:
        """Print a line above the bars."""
        self._live.console.print(plain(line), markup=False, highlight=False, soft_wrap=True)

    def _show_frame(self, event: Progressed) -> None:
        name, done = event.unit.name, event.progress.done
        if name not in self._bars:
            if len(self._bars) >= MAX_BARS:
                return
            self._bars[name] = self._progress.add_task(plain(name), status="", total=1.0)
        status = plain(f"{done:.0%}  {event.progress.note}")
        if event.progress.training:
            status, self._note = f"{done:.0%}", plain(event.progress.note)
        self._progress.update(self._bars[name], completed=done, status=status)

    def _show_all(self) -> None:
        if self._is_run:
            is_prepared = bool(self._bars or self._tally.ended)
            self._progress.update(self._all, status="preparing", visible=not is_prepared)
            return
        tally, elapsed = self._tally, time.monotonic() - self._began
        parts = [_count(tally), f"{tally.tiles_so_far} tiles"]
        if tally.pixels:
            parts.append(f"{tally.megapixels_per_second(elapsed):.2f} Mpx/s")
        seconds = self._pace.seconds_left()
        if seconds is not None:
            parts.append(f"{duration(seconds)} left")
        self._progress.update(
            self._all,
            completed=tally.ended + sum(tally.running.values()),
            total=tally.total or None,
            status="  ".join(parts),
        )


def _count(tally: Tally) -> str:
    """Return how many frames have ended, of how many."""
    return f"{tally.seen(tally.ended)}/{tally.seen(tally.total) or '?'}"


class _Warnings:
    """Tells a new warning of a run from one that only counts on."""

    def __init__(self) -> None:
        self._known = ""

    def new(self, event: Progressed) -> str:
        """Return the warning of a run as a line, once until it changes; numbers do not count."""
        warning = event.progress.training.warning if event.progress.training else ""
        known, self._known = self._known, _NUMBER.sub("#", warning)
        is_new = warning and self._known != known
        return f"{event.unit.name}: warning: {warning}" if is_new else ""


class _Retries:
    """Tells for what a frame is retried, once for each reason."""

    def __init__(self) -> None:
        self._known = set[str]()

    def new(self, event: UnitChanged) -> str:
        """Return that a frame is retried and why; empty if it is not, or not for a new reason."""
        if event.state is not UnitState.RETRY_WAIT or event.reason in self._known:
            return ""
        self._known.add(event.reason)
        return f"will be retried: {event.reason}"


def remark(event: Notice | JobChanged | WorkerChanged) -> str:
    """Return an event as one line for the user; empty if there is nothing to show."""
    match event:
        case Notice():
            return f"{event.url}: {event.note}"
        case JobChanged(job) if job.state is JobState.PAUSED:
            return f"paused: {job.reason}"
        case JobChanged(job) if job.reason and not job.state.is_final:
            return f"the job {job.reason}"
        case WorkerChanged(state="refused"):
            return f"worker {event.worker} was refused: {event.reason}"
        case _:
            return ""


def duration(seconds: float) -> str:
    """Return a duration in readable form: 8 s, 1:05, 2:00:00."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


_NAMES: Final[dict[type[News], str]] = {
    FilesMoved: "moved",
    Notice: "note",
    ReadProgress: "reading",
    StaleReport: "stale",
    WorkerChanged: "worker",
}
"""Names of the events whose fields are printed unchanged."""


def as_dict(event: News) -> dict[str, Any]:
    """Return an event for JSON; "event" is its name."""
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
                "training": asdict(progress.training) if progress.training else None,
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
        "workers": event.workers,
        "figures": asdict(event.figures) if event.figures else None,
        "failure": asdict(event.failure) if event.failure else None,
    }
