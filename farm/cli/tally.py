"""Counts of a job for the displays, kept from the controller's events. Reads no clock."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from farm.model.events import News, Progressed, UnitChanged, UnitsCancelled
from farm.model.unit import Role, UnitState

MOST_NAMED: Final = 5
"""The most units that failed for the same reason and are named."""


@dataclass
class Tally:
    """Counts of one job; an observer of the controller.

    total, done, skipped: units that render. share: frames that the user sees per such unit, which is
    less than 1 where segments of a coherent film overlap, or a film loops. pixels, tiles: of done
    frames. written: files that are there and not only working files. failed: reason by unit name.
    failed_frames: names of those that render. untried: names of those that the farm gave up together.
    tracebacks: by reason. running: progress 0..1 by name of a unit in progress.
    """

    total: int = 0
    done: int = 0
    skipped: int = 0
    share: float = 1.0
    pixels: int = 0
    tiles: int = 0
    written: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    failed_frames: set[str] = field(default_factory=set)
    untried: set[str] = field(default_factory=set)
    tracebacks: dict[str, str] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    _tiles_running: dict[str, int] = field(default_factory=dict)

    def on_event(self, event: News) -> None:
        match event:
            case Progressed(unit, progress):
                self.running[unit.name] = progress.done
                self._tiles_running[unit.name] = progress.tiles
            case UnitChanged():
                self._change(event)
            case UnitsCancelled():
                for change in event.changes():
                    self._change(change)
                    self.untried.add(change.unit.name)
            case _:
                pass

    def failure_lines(self, told: str = "") -> Iterator[str]:
        """Yield a line for each reason why units failed, which names some of them.

        told: why the job failed, if it did; what that says already is left out.
        """
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.failed.items():
            if not told or (reason not in told and name not in self.untried):
                by_reason.setdefault(reason, []).append(name)
        for reason, names in by_reason.items():
            more = len(names) - MOST_NAMED
            others = f" and {more:,} more" if more > 0 else ""
            yield f"failed: {', '.join(names[:MOST_NAMED])}{others}: {reason}"

    def seen(self, units: int) -> int:
        """Return the number of frames that the user sees for a number of units."""
        return round(units * self.share)

    @property
    def ended(self) -> int:
        """Number of frames that are done, skipped or failed."""
        return min(self.done + self.skipped + len(self.failed_frames), self.total or 2**63)

    @property
    def tiles_so_far(self) -> int:
        """Number of tiles of done frames and of those in progress."""
        return self.tiles + sum(self._tiles_running.values())

    def megapixels_per_second(self, elapsed: float) -> float:
        """Return the average speed of done frames. elapsed: seconds since the job started."""
        return self.pixels / 1e6 / elapsed if elapsed > 0 else 0.0

    @property
    def progress(self) -> float:
        """Number of frames that are done or failed, with the parts of those in progress."""
        return self.done + len(self.failed_frames) + sum(self.running.values())

    def _change(self, event: UnitChanged) -> None:
        name = event.unit.name
        self.running.pop(name, None)
        self._tiles_running.pop(name, None)
        self.written += event.state.is_done and not event.unit.is_working
        match event.state:
            case UnitState.READY:
                self.failed.pop(name, None)
                self.failed_frames.discard(name)
                self.untried.discard(name)
            case UnitState.RUNNING:
                self.running[name] = 0.0
            case UnitState.SUCCEEDED if event.unit.role is Role.RENDER:
                self.done += 1
                if event.figures:
                    self.pixels += event.figures.pixels
                    self.tiles += event.figures.tiles
            case UnitState.SKIPPED if event.unit.role is Role.RENDER:
                self.skipped += 1
            case UnitState.QUARANTINED | UnitState.CANCELLED:
                self.failed[name] = event.reason
                if event.unit.role is Role.RENDER:
                    self.failed_frames.add(name)
                if event.failure and event.failure.traceback:
                    self.tracebacks.setdefault(event.reason, event.failure.traceback)
            case _:
                pass
