"""An executor that fulfils the contract but computes nothing."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from farm.control.clock import FakeClock
from farm.errors import FarmBug
from farm.host.executor import Executor
from farm.model.messages import (
    Failure,
    Figures,
    Message,
    Order,
    Room,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.model.unit import Unit
from farm.storage import sha256_file

End = (
    Failure
    | Literal["succeed", "hang", "ignore_cancel", "die", "die_before_start", "succeed_after_death"]
)
"""How an attempt ends.

hang: runs until it is cancelled. ignore_cancel: hangs and ignores that too. die: kills its worker.
die_before_start: kills it before the unit has started. succeed_after_death: kills its worker, which
still reports success.
"""

Script = Callable[[Order], End]

FIGURES = Figures({"load": 0.1, "compute": 2.0, "write": 0.3}, 64, overlap_pixels=16, tiles=2)


def scripted(ends: Mapping[str, Sequence[End]]) -> Script:
    """Return a script that ends each unit's attempts in this order; later attempts succeed."""

    def script(order: Order) -> End:
        own = ends.get(order.unit.name, ())
        return own[order.attempt - 1] if order.attempt <= len(own) else "succeed"

    return script


@dataclass
class _Worker:
    order: Order | None = None
    has_started: bool = False
    is_cancelled: bool = False


@dataclass
class FakeExecutor(Executor):
    """Ends orders as a script says, which is asked at every poll. Success copies the source.

    A poll without messages advances the clock by its timeout.
    """

    script: Script = field(default_factory=lambda: scripted({}))
    workers: int = 1
    clock: FakeClock = field(default_factory=FakeClock)
    orders: list[Order] = field(default_factory=list)
    _alive: dict[str, _Worker] = field(default_factory=dict)
    _messages: deque[Message] = field(default_factory=deque)
    _worker_count: int = 0

    def start(self) -> None:
        self._messages.append(Room(self.workers))
        for _ in range(self.workers):
            self._add_worker()

    def assign(self, workers: Sequence[str], order: Order) -> None:
        (worker,) = workers
        if worker not in self._alive:
            return
        if self._alive[worker].order:
            raise FarmBug(f"{worker} was given {order.unit.name} while it had another order")
        self._alive[worker] = _Worker(order)
        self.orders.append(order)

    def poll(self, timeout: float) -> Sequence[Message]:
        for name, worker in list(self._alive.items()):
            if worker.order:
                self._advance(name, worker, worker.order)
        if not self._messages:
            self.clock.advance(timeout)
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def cancel(self, worker: str, token: str) -> None:
        order = self._alive[worker].order if worker in self._alive else None
        if order and order.token == token:
            self._alive[worker].is_cancelled = True

    def kill(self, worker: str) -> None:
        if self._alive.pop(worker, None):
            self._messages.append(WorkerLost(worker, "it was killed"))
            self._add_worker()

    def close(self) -> None:
        self._alive.clear()
        self._messages.clear()

    def _add_worker(self) -> None:
        self._worker_count += 1
        name = f"fake-{self._worker_count}"
        self._alive[name] = _Worker()
        self._messages.append(WorkerJoined(name, "cpu"))

    def _advance(self, name: str, worker: _Worker, order: Order) -> None:
        end = self.script(order)
        if end == "die_before_start":
            self.kill(name)
            return
        if not worker.has_started:
            worker.has_started = True
            self._messages.append(UnitStarted(name, order.token))
            self._messages.append(UnitProgress(name, order.token, 0.5, "waiting", 1))
        if worker.is_cancelled and end != "ignore_cancel":
            self._free(name, UnitCancelled(name, order.token))
        elif isinstance(end, Failure):
            self._free(name, UnitFailed(name, order.token, end))
        elif end == "succeed":
            self._free(name, UnitSucceeded(name, order.token, _copy(order.unit)))
        elif end in {"die", "succeed_after_death"}:
            self.kill(name)
            if end == "succeed_after_death":
                self._messages.append(UnitSucceeded(name, order.token, FIGURES))

    def _free(self, name: str, last: Message) -> None:
        self._alive[name] = _Worker()
        self._messages.append(last)


def _copy(unit: Unit) -> Figures:
    source, target = Path(unit.source), Path(unit.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes() if source.is_file() else unit.source.encode())
    digest = sha256_file(source) if source.is_file() else ""
    return Figures(
        FIGURES.seconds,
        FIGURES.pixels,
        FIGURES.overlap_pixels,
        FIGURES.tiles,
        source_sha256=digest,
        target_sha256=sha256_file(target),
    )
