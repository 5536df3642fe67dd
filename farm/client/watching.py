"""Follows a job by the stream of events of its service, through restarts of the service."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx

from farm.client.connection import Connection
from farm.client.job_status import ENDED
from farm.errors import Busy, ServerUnavailable

PATIENCE_SECONDS: Final = 60.0
"""How long a service may be away before nobody waits for it."""

SILENCE_SECONDS: Final = 45.0
"""After this long without a sign of life, a connection counts as broken."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0
_KINDS: Final = frozenset({"job", "unit", "progress"})
_HEARTBEAT: Final = "heartbeat"


@dataclass(frozen=True)
class Event:
    """Something that happened to a job.

    kind: job, unit, progress, or away, once the service has not answered twice in a row. data: as the
    service describes it; for away, the reason why it does not answer. id: numbers the changes of units
    and rises; empty for other events.
    """

    kind: str
    data: dict[str, Any]
    id: str = ""


def watch(connection: Connection, job: str, timeout: float | None = None) -> Iterator[Event]:
    """Yield the events of a job until it has ended; the last one is its state.

    Raises NotFound, ServerUnavailable after PATIENCE_SECONDS without the service, and TimeoutError.
    """
    watcher = _Watcher(connection, job, timeout)
    while True:
        try:
            yield from watcher.follow()
            if watcher.has_ended:
                return
            time.sleep(_FIRST_PAUSE)
        except (ServerUnavailable, Busy) as error:
            yield from watcher.told(error)
            watcher.pause(error)


class _Watcher:
    def __init__(self, connection: Connection, job: str, timeout: float | None) -> None:
        self._connection, self._job, self._timeout = connection, job, timeout
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._last = ""
        self._pause, self._away_since, self._is_away = _FIRST_PAUSE, 0.0, False
        self._shown: tuple[object, object] | None = None
        self.has_ended = False

    def follow(self) -> Iterator[Event]:
        """Yield the events of one connection.

        The state is asked for after the stream is open, so that no end of the job falls between.
        """
        headers = {"accept": "text/event-stream"}
        if self._last:
            headers["last-event-id"] = self._last
        options: Any = {"params": {"job": self._job}, "headers": headers}
        with self._connection.stream("/api/events", timeout=self._silence(), **options) as answer:
            state = Event("job", self._connection.get(f"/api/jobs/{self._job}"))
            self._pause, self._away_since, self._is_away = _FIRST_PAUSE, 0.0, False
            yield from self._seen(state)
            if self.has_ended:
                return
            for event in parse(answer.iter_lines()):
                self._last = event.id or self._last
                if event.kind == "reset":
                    return
                if event.kind == _HEARTBEAT:
                    yield from self._looked()
                if event.kind in _KINDS:
                    yield from self._seen(event)
                if self.has_ended:
                    return
                self._check_time()

    def told(self, error: Exception) -> Iterator[Event]:
        """Yield that the service is away, if it was before this error and nobody knows yet."""
        if self._away_since and not self._is_away:
            self._is_away = True
            yield Event("away", {"reason": getattr(error, "reason", "") or str(error)})

    def pause(self, error: Exception) -> None:
        """Wait before the next try. Raises the error after too many."""
        self._check_time()
        now = time.monotonic()
        self._away_since = self._away_since or now
        if now - self._away_since > PATIENCE_SECONDS:
            raise error
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _looked(self) -> Iterator[Event]:
        """Yield the job if its state or its reason has changed, of which no event tells."""
        job = self._connection.get(f"/api/jobs/{self._job}")
        if (job.get("state"), job.get("reason")) != self._shown:
            yield from self._seen(Event("job", job))

    def _seen(self, event: Event) -> Iterator[Event]:
        """Yield an event; before the end of the job, what was missed while there was no connection."""
        if event.kind == "job" and event.data.get("state") in ENDED:
            if self._last:
                yield from self._missed()
            self.has_ended = True
        if event.kind == "job":
            self._shown = event.data.get("state"), event.data.get("reason")
        yield event

    def _missed(self) -> Iterator[Event]:
        after: object = self._last
        while after is not None:
            page = self._connection.get(f"/api/jobs/{self._job}/log", after=after)
            for line in page["lines"]:
                self._last = str(line["id"])
                yield Event("unit", line, self._last)
            after = page.get("next")

    def _silence(self) -> httpx.Timeout:
        left = SILENCE_SECONDS
        if self._deadline is not None:
            left = max(0.01, min(left, self._deadline - time.monotonic()))
        return httpx.Timeout(left, connect=5.0)

    def _check_time(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimeoutError(f"job {self._job} has not ended after {self._timeout:g} s")


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events in the lines of an event stream; unfinished events are passed over.

    A comment is a heartbeat, without data.
    """
    kind, number, data = "message", "", list[str]()
    for line in lines:
        if line.startswith(":"):
            yield Event(_HEARTBEAT, {})
            continue
        if not line:
            if data:
                yield Event(kind, json.loads("\n".join(data)), number)
            kind, number, data = "message", "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                kind = value
            case "data":
                data.append(value)
            case "id":
                number = value
