"""Estimates the time that a job still takes, from what was done since work began."""

from collections.abc import Callable

from farm.cli.tally import Tally
from farm.model.events import News, Progressed, UnitChanged
from farm.model.unit import UnitState

__all__ = ["Pace"]


class Pace:
    """How fast a job goes. clock: in seconds.

    What comes before does not count: to plan the job, and to load what its first frame needs, which ends
    at the first progress that a task reports.
    """

    def __init__(self, tally: Tally, clock: Callable[[], float]) -> None:
        self._tally, self._clock = tally, clock
        self._since, self._before = 0.0, 0.0
        self._has_begun = self._has_loaded = False

    def on_event(self, event: News) -> None:
        """Note when work begins. The tally has already counted the event."""
        match event:
            case UnitChanged(state=UnitState.RUNNING) if not self._has_begun:
                self._begin()
            case Progressed(_, progress) if progress.done > 0 and not self._has_loaded:
                self._has_loaded = True
                self._begin()
            case _:
                pass

    def seconds_left(self) -> float | None:
        """Return an estimate of the seconds left; None before it can be told."""
        done = self._tally.progress - self._before
        if not self._has_begun or done <= 0:
            return None
        left = max(0.0, self._tally.total - self._tally.skipped - self._tally.progress)
        return (self._clock() - self._since) / done * left

    def _begin(self) -> None:
        self._has_begun = True
        self._since, self._before = self._clock(), self._tally.progress
