"""What the farm does at this moment: workers, running units and recent throughput.

An observer of the controller. Its answers are copies, for any thread, and nobody waits for the
loop.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from farm.control.clock import Clock
from farm.model.events import JobChanged, News, Notice, Progressed, UnitChanged, WorkerChanged
from farm.model.messages import WorkerJoined
from farm.model.unit import HELD, UnitState

__all__ = ["Board", "MinuteTotal", "RunningUnit", "WorkerNow"]

NOTED: Final = 1000
"""Jobs whose notes are kept."""

MOST_NOTES: Final = 20
"""Notes of a job that are kept; a folder may have one for each of its films."""

MINUTES: Final = 60
MINUTE: Final = 60.0


@dataclass(frozen=True)
class RunningUnit:
    """A unit that a worker holds. done: 0..1."""

    job: str
    name: str
    worker: str
    done: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class WorkerNow:
    """A worker as it is. state: idle, busy or refused. since: Unix seconds."""

    joined: WorkerJoined
    state: str
    since: float
    reason: str = ""


@dataclass(frozen=True)
class MinuteTotal:
    """What was finished in a minute that began at a time, in Unix seconds."""

    at: float
    pixels: int = 0
    units: int = 0


@dataclass
class _JobPace:
    """When a job's units ended, as long as this farm knows it. count: of units since then."""

    since: float
    count: int = 0
    latest: float = field(default=0.0)


class Board:
    """Remembers the latest of everything. clock: of the controller."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, Lock()
        self.since = clock.time()
        self._joined: Callable[[], list[WorkerJoined]] = list
        self._workers: dict[str, WorkerNow] = {}
        self._running: dict[tuple[str, str], RunningUnit] = {}
        self._pace: dict[str, _JobPace] = {}
        self._notes: dict[str, list[Notice]] = {}
        self._minutes: deque[MinuteTotal] = deque(maxlen=MINUTES)

    def watch(self, joined: Callable[[], list[WorkerJoined]]) -> None:
        """Ask this function what workers said of themselves when they joined."""
        self._joined = joined

    def on_event(self, event: News) -> None:
        with self._lock:
            match event:
                case WorkerChanged():
                    self._note_worker(event)
                case UnitChanged():
                    self._note_unit(event)
                case Progressed(unit, progress):
                    key = unit.job, unit.name
                    if key in self._running:
                        running = self._running[key]
                        self._running[key] = replace(
                            running, done=progress.done, note=progress.note
                        )
                case Notice(_, _, job) if job:
                    notes = self._notes.setdefault(job, [])
                    if len(notes) < MOST_NOTES:
                        notes.append(event)
                    if len(self._notes) > NOTED:
                        del self._notes[next(iter(self._notes))]
                case JobChanged(job) if job.state.is_final:
                    self._pace.pop(job.id, None)
                case _:
                    pass

    def _note_worker(self, event: WorkerChanged) -> None:
        if event.state in ("gone", "ended"):
            self._workers.pop(event.worker, None)
            return
        before, now = self._workers.get(event.worker), self._clock.time()
        joined = before.joined if before else self._introduction(event)
        self._workers[event.worker] = WorkerNow(joined, event.state, now, event.reason)

    def _introduction(self, event: WorkerChanged) -> WorkerJoined:
        """Return what a worker that is new here said of itself; a refused one said nothing."""
        said = (joined for joined in self._joined() if joined.worker == event.worker)
        return next(said, WorkerJoined(event.worker, event.kind))

    def _note_unit(self, event: UnitChanged) -> None:
        key = event.unit.job, event.unit.name
        if event.state in HELD:
            worker = event.workers[0] if event.workers else event.worker
            before = self._running.get(key)
            worker = worker or (before.worker if before else "")
            self._running[key] = RunningUnit(*key, worker)
        else:
            self._running.pop(key, None)
        if event.state is UnitState.LEASED:
            self._pace.setdefault(event.unit.job, _JobPace(self._clock.time()))
        if event.state.is_final and event.unit.job in self._pace:
            self._pace[event.unit.job].count += 1
            self._pace[event.unit.job].latest = self._clock.time()
        if event.state is UnitState.SUCCEEDED:
            self._add_up(event.figures.pixels if event.figures else 0)

    def _add_up(self, pixels: int) -> None:
        at = self._clock.time() // MINUTE * MINUTE
        latest = self._minutes.pop() if self._minutes else MinuteTotal(at)
        if latest.at != at:
            self._minutes.append(latest)
            latest = MinuteTotal(at)
        self._minutes.append(MinuteTotal(at, latest.pixels + pixels, latest.units + 1))

    # Answers, for any thread

    def workers(self) -> list[WorkerNow]:
        """Return every worker that is here, by name."""
        with self._lock:
            return [self._workers[name] for name in sorted(self._workers)]

    def running(self, job: str) -> dict[str, RunningUnit]:
        """Return the units of a job that workers hold, by name."""
        with self._lock:
            return {unit.name: unit for unit in self._running.values() if unit.job == job}

    def notes(self, job: str) -> list[Notice]:
        """Return what planning said of a job, if this farm planned it not too long ago."""
        with self._lock:
            return list(self._notes.get(job, ()))

    def held(self) -> dict[str, RunningUnit]:
        """Return the units that workers hold, by the worker that reports on each."""
        with self._lock:
            return {unit.worker: unit for unit in self._running.values()}

    def seconds_left(self, job: str, units: int) -> float | None:
        """Return how long a job's remaining units take at its pace; None before that can be told."""
        with self._lock:
            pace = self._pace.get(job)
            if pace is None or not pace.count or pace.latest <= pace.since:
                return None
            return units * (pace.latest - pace.since) / pace.count

    def throughput(self) -> list[MinuteTotal]:
        """Return what was finished in each minute of the last hour in which anything was."""
        oldest = self._clock.time() - MINUTES * MINUTE
        with self._lock:
            return [minute for minute in self._minutes if minute.at >= oldest]
