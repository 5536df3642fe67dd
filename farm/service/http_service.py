"""A service: one controller, the desk in front of it, and HTTP beside it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socket import socket
from threading import Thread
from typing import Final

from farm.app import Farm, make_metrics, open_service
from farm.control.announcing import Observer
from farm.control.clock import SystemClock
from farm.errors import LedgerUnavailable
from farm.host.executor import Executor
from farm.host.registry import Registry
from farm.model.events import News
from farm.process import BEAT_SECONDS
from farm.service.application import make_application
from farm.service.board import Board
from farm.service.desk import Desk
from farm.service.event_stream import Feed
from farm.service.guard import Rules
from farm.service.requests import check_planned
from farm.service.roots import Roots
from farm.service.serving import serving

__all__ = ["Service", "Settings", "open_http_service", "state_folder"]

FORGET_SECONDS: Final = 600.0
"""Time between two looks for jobs to forget."""


def state_folder(ledger: Path | None) -> Path:
    """Return the folder of a service's own files. ledger: its file; None if it is on a server."""
    if ledger is not None:
        return ledger.with_name(f"{ledger.stem}-service")
    from platformdirs import user_state_path

    return user_state_path("farm", appauthor=False) / "service"


@dataclass(frozen=True)
class Settings:
    """What a service is started with. keep: seconds for which jobs that have ended are remembered."""

    ledger_url: str
    folder: Path
    roots: Roots
    rules: Rules
    keep: float = 30 * 86_400.0


class Service:
    """A farm and its desk. Its loop runs in the thread that calls run."""

    def __init__(self, farm: Farm, desk: Desk, keep: float) -> None:
        self._controller, self._ledger, self._desk = farm.controller, farm.ledger, desk
        self._keep = keep
        self._held, self._forgot = time.monotonic(), -FORGET_SECONDS

    def run(self, is_stopped: Callable[[], bool]) -> None:
        """Go on with the jobs in the ledger and serve, until is_stopped returns true.

        Raises LedgerHeld if another service took the ledger, because this one seemed dead.
        """

        def has_ended() -> bool:
            self._keep_house()
            return is_stopped()

        self._controller.recover()
        self._controller.serve(has_ended)

    def stop(self) -> None:
        """Take no more jobs, and let running units stop. They are rendered again at the next start."""
        self._desk.is_stopping = True
        self._controller.stop()

    def _keep_house(self) -> None:
        """Make sure now and then that the ledger is still held, and forget old jobs."""
        now = time.monotonic()
        if now - self._held < BEAT_SECONDS:
            return
        self._held = now
        try:
            self._ledger.hold(time.time())
            self._desk.trouble = ""
        except LedgerUnavailable as error:
            self._desk.trouble = self._desk.roots.hidden(str(error))
            return
        if now - self._forgot >= FORGET_SECONDS:
            self._forgot = now
            thread = Thread(target=self._forget, name="farm-forget", daemon=True)
            thread.start()

    def _forget(self) -> None:
        self._desk.previews.forget()
        self._ledger.forget(time.time() - self._keep)


@contextmanager
def open_http_service(
    registry: Registry, make: Callable[[], Executor], settings: Settings, listener: socket
) -> Iterator[Service]:
    """Open the ledger and yield a service that answers requests; finally close everything.

    make: creates the executor. Raises LedgerHeld if another service has the ledger, and UserError.
    """
    board, metrics, feeds = Board(SystemClock()), make_metrics(registry), _Late()
    observers: list[Observer] = [board, metrics, feeds]
    admit = partial(check_planned, registry=registry, roots=settings.roots)
    with open_service(
        registry, make, settings.ledger_url, observers=observers, admit=admit
    ) as farm:
        scheduler = farm.controller.scheduler
        board.watch(scheduler.workers)
        metrics.watch(scheduler, farm.ledger, farm.controller.planning)
        desk = Desk(registry, farm, board, settings.roots, settings.folder)
        feeds.feed = desk.feed
        app = make_application(desk, settings.rules, metrics.registry)
        with serving(app, listener, desk.feed.end):
            yield Service(farm, desk, settings.keep)


class _Late:
    """An observer that passes events on to one that is made later."""

    feed: Feed | None = None

    def on_event(self, event: News) -> None:
        if self.feed:
            self.feed.on_event(event)
