"""The feed: what happens in the farm, for readers who stay, and for those who were away.

Changes of units come from the ledger's story by their numbers, so a reader who names the last one
misses none. What is not stored (progress, workers, jobs as they are now) goes to those who listen.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

from starlette.concurrency import run_in_threadpool

from farm.errors import Busy, LedgerUnavailable
from farm.model.events import (
    JobChanged,
    News,
    Progressed,
    UnitChanged,
    UnitsCancelled,
    WorkerChanged,
)

__all__ = ["Feed"]

READERS: Final = 100
QUEUED: Final = 1000
"""Events that wait for a slow reader, before it has to load everything anew."""
PAGE: Final = 500
MOST_BEHIND: Final = 10_000
"""Changes that are sent to a reader who was away, or that happen at once; after more it has to load everything anew."""
HEARTBEAT_SECONDS: Final = 15.0

Event = tuple[str, dict[str, Any]]
Stored = Callable[[int, int], list[tuple[int, str, dict[str, Any]]]]
"""Returns changes of units after a number, at most so many: the number, the job, and the event."""


class _Reader:
    """One who listens. Everything happens in the thread of its loop."""

    def __init__(self, job: str | None) -> None:
        self.job, self.loop = job, asyncio.get_running_loop()
        self.waiting: deque[Event] = deque()
        self.has_stored, self.is_slow = True, False
        self.awake = asyncio.Event()

    def take(self, event: Event | None) -> None:
        """Take an event; None means that the ledger has new changes."""
        if event is None:
            self.has_stored = True
        elif len(self.waiting) >= QUEUED:
            self.is_slow = True
        else:
            self.waiting.append(event)
        self.awake.set()


class Feed:
    """An observer of the controller that passes on what happens.

    stored: reads the ledger's story. last: returns the number of its last line. job: shows a job.
    """

    def __init__(
        self, stored: Stored, last: Callable[[], int], job: Callable[[str], dict[str, Any]]
    ) -> None:
        self._stored, self._last, self._job = stored, last, job
        self._readers: set[_Reader] = set()
        self.is_over = False

    def on_event(self, event: News) -> None:
        match event:
            case UnitChanged() | UnitsCancelled():
                self._send(event.job, None)
            case JobChanged(job):
                self._send(job.id, ("job", {"id": job.id}))
            case Progressed(unit, progress):
                data = {
                    "job": unit.job,
                    "unit": unit.name,
                    "done": progress.done,
                    "note": progress.note,
                }
                self._send(unit.job, ("progress", data))
            case WorkerChanged(worker, kind, state, reason):
                data = {"name": worker, "kind": kind, "state": state, "reason": reason}
                self._send(None, ("worker", data))
            case _:
                pass

    def _send(self, job: str | None, event: Event | None) -> None:
        for reader in list(self._readers):
            if reader.job in {None, job}:
                with suppress(RuntimeError):  # its loop has ended
                    reader.loop.call_soon_threadsafe(reader.take, event)

    def end(self) -> None:
        """Let every reader go."""
        self.is_over = True
        for reader in list(self._readers):
            with suppress(RuntimeError):
                reader.loop.call_soon_threadsafe(reader.awake.set)

    def open(self, job: str | None, after: int | None) -> AsyncIterator[str]:
        """Return what is sent to a new reader. Raises Busy if there are too many.

        job: only events of this one. after: the number of the last change that the reader knows; None
        for one who begins now.
        """
        if len(self._readers) >= READERS:
            raise Busy(f"{READERS} readers listen already; ask again later")
        return self._stream(_Reader(job), after)

    async def _stream(self, reader: _Reader, after: int | None) -> AsyncIterator[str]:
        self._readers.add(reader)  # only now: one who has gone before never leaves
        try:
            last = await run_in_threadpool(self._last)
            known = last if after is None else after
            yield _written("farm", {"last": last}, known)
            if known > last:
                yield _written("reset", {}, last)
                known = last
            while not self.is_over and not reader.is_slow:
                async for text, number in self._news(reader, known):
                    known = number
                    yield text
                try:
                    await asyncio.wait_for(reader.awake.wait(), HEARTBEAT_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
            if reader.is_slow:
                yield _written("reset", {})
        finally:
            self._readers.discard(reader)

    async def _news(self, reader: _Reader, known: int) -> AsyncIterator[tuple[str, int]]:
        """Yield what has happened since, and the number of the last change in it."""
        reader.awake.clear()
        while reader.has_stored:
            reader.has_stored = False
            try:
                page = await run_in_threadpool(self._stored, known, PAGE)
                last = await run_in_threadpool(self._last) if len(page) == PAGE else known
            except LedgerUnavailable:
                reader.has_stored = True
                break
            if last - known > MOST_BEHIND:
                known, page, reader.has_stored = last, [], True
                yield _written("reset", {}, last), known
            for number, job, data in page:
                known = number
                if reader.job in {None, job}:
                    yield _written("unit", data, number), known
            reader.has_stored = reader.has_stored or len(page) == PAGE
        jobs: dict[str, None] = {}
        while reader.waiting and not reader.is_slow:
            kind, data = reader.waiting.popleft()
            if kind == "job":
                jobs[data["id"]] = None
            else:
                yield _written(kind, data), known
        for job in jobs:
            with suppress(Exception):  # it was forgotten meanwhile
                yield _written("job", await run_in_threadpool(self._job, job)), known


def _written(kind: str, data: dict[str, Any], number: int | None = None) -> str:
    named = f"id: {number}\n" if number is not None else ""
    return f"event: {kind}\n{named}data: {json.dumps(data)}\n\n"
