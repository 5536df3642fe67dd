"""An executor that keeps the contract and computes nothing."""

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

End = Failure | Literal["succeed", "hang", "stick", "die", "fall", "haunt"]
"""What becomes of an attempt.

hang: goes on until it is cancelled. stick: does not even hear that. die: takes the worker
along. fall: takes it along before it has begun. haunt: dies, and reports success afterwards.
"""

Script = Callable[[Order], End]

FIGURES = Figures({"load": 0.1, "compute": 2.0, "write": 0.3}, 64, overlap_pixels=16, tiles=2)


def scripted(ends: Mapping[str, Sequence[End]]) -> Script:
    """Return a script of the ends of each unit's attempts, in turn; then all succeed."""

    def script(order: Order) -> End:
        mine = ends.get(order.unit.name, ())
        return mine[order.attempt - 1] if order.attempt <= len(mine) else "succeed"

    return script


@dataclass
class _Worker:
    order: Order | None = None
    is_telling: bool = False
    is_cancelled: bool = False


@dataclass
class FakeExecutor(Executor):
    """Ends orders as a script says, asked anew at every poll. Success copies the source.

    A poll with nothing to say moves the clock on by its timeout.
    """

    script: Script = field(default_factory=lambda: scripted({}))
    workers: int = 1
    clock: FakeClock = field(default_factory=FakeClock)
    orders: list[Order] = field(default_factory=list)
    _alive: dict[str, _Worker] = field(default_factory=dict)
    _messages: deque[Message] = field(default_factory=deque)
    _born: int = 0

    def start(self) -> None:
        for _ in range(self.workers):
            self._bear()

    def assign(self, worker: str, order: Order) -> None:
        if worker not in self._alive:
            return
        if self._alive[worker].order:
            raise FarmBug(f"{worker} was given {order.unit.name} while it had another order")
        self._alive[worker] = _Worker(order)
        self.orders.append(order)

    def poll(self, timeout: float) -> Sequence[Message]:
        for name, worker in list(self._alive.items()):
            if worker.order:
                self._go_on(name, worker, worker.order)
        if not self._messages:
            self.clock.advance(timeout)
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def cancel(self, worker: str) -> None:
        if worker in self._alive:
            self._alive[worker].is_cancelled = True

    def kill(self, worker: str) -> None:
        if self._alive.pop(worker, None):
            self._messages.append(WorkerLost(worker, "it was told to end"))
            self._bear()

    def close(self) -> None:
        self._alive.clear()
        self._messages.clear()

    def _bear(self) -> None:
        self._born += 1
        name = f"fake-{self._born}"
        self._alive[name] = _Worker()
        self._messages.append(WorkerJoined(name, "cpu"))

    def _go_on(self, name: str, worker: _Worker, order: Order) -> None:
        end = self.script(order)
        if end == "fall":
            self.kill(name)
            return
        if not worker.is_telling:
            worker.is_telling = True
            self._messages.append(UnitStarted(name, order.token))
            self._messages.append(UnitProgress(name, order.token, 0.5, "waiting", 1))
        if worker.is_cancelled and end != "stick":
            self._free(name, UnitCancelled(name, order.token))
        elif isinstance(end, Failure):
            self._free(name, UnitFailed(name, order.token, end))
        elif end == "succeed":
            self._free(name, UnitSucceeded(name, order.token, _copied(order.unit)))
        elif end in {"die", "haunt"}:
            self.kill(name)
            if end == "haunt":
                self._messages.append(UnitSucceeded(name, order.token, FIGURES))

    def _free(self, name: str, last: Message) -> None:
        self._alive[name] = _Worker()
        self._messages.append(last)


def _copied(unit: Unit) -> Figures:
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
