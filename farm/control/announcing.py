"""Tells observers and plugins what has happened."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from farm.host.registry import Registry
from farm.model.events import JobChanged, News, UnitChanged, UnitsCancelled
from farm.model.job import Job

__all__ = ["Announcer", "Observer"]


class Observer(Protocol):
    """A display, metrics or a log: receives every event."""

    def on_event(self, event: News) -> None:
        """Handle an event that has been stored and acted on."""


class Announcer:
    """Passes each event to the observers, then to the plugins. find: returns a job in its state."""

    def __init__(
        self, registry: Registry, observers: Sequence[Observer], find: Callable[[str], Job]
    ) -> None:
        self._hook, self._observers, self._find = registry.hook, observers, find

    def announce(self, event: News) -> None:
        """Tell everybody, in the loop's thread."""
        for observer in self._observers:
            observer.on_event(event)
        if isinstance(event, JobChanged) and event.job.state.is_final:
            self._hook.farm_job_finished(job=event.job)
        if isinstance(event, UnitChanged) and event.state.is_final:
            self._tell_plugins(event.job, [event])
        if isinstance(event, UnitsCancelled) and self._hook.has("farm_unit_finished"):
            self._tell_plugins(event.job, event.changes())

    def _tell_plugins(self, name: str, changes: Iterable[UnitChanged]) -> None:
        job = self._find(name)
        for change in changes:
            self._hook.farm_unit_finished(
                job=job, unit=change.unit, state=change.state, reason=change.reason
            )
