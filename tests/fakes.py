"""An executor that fulfils the contract but computes nothing."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from farm.errors import FarmBug
from farm.host.executor import Executor
from farm.model.messages import (
    Failure,
    Figures,
    Message,
    NoWorkers,
    Order,
    Room,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerAlive,
    WorkerJoined,
    WorkerLost,
)
from farm.model.unit import Unit
from farm.storage import sha256_file

from .fake_clock import FakeClock

End = (
    Failure
    | Literal[
        "succeed",
        "hang",
        "ignore_cancel",
        "die",
        "die_before_start",
        "succeed_after_death",
        "lose_member",
    ]
)
"""How an attempt ends.

hang: runs until it is cancelled. ignore_cancel: hangs and ignores that too. die: kills its worker.
die_before_start: kills it before the unit has started. succeed_after_death: kills its worker, which
still reports success. lose_member: kills the last of the workers that share the unit.
"""

Script = Callable[[Order], End]

IDLE_SECONDS: Final = 0.5
ALIVE_SECONDS: Final = 5.0
"""Time between signs of life of a worker."""

FIGURES = Figures({"load": 0.1, "compute": 2.0, "write": 0.3}, 64, overlap_pixels=16, tiles=2)


def scripted(ends: Mapping[str, Sequence[End]]) -> Script:
    """Return a script that ends each unit's attempts in this order; later attempts succeed."""

    def script(order: Order) -> End:
        own = ends.get(order.unit.name, ())
        return own[order.attempt - 1] if order.attempt <= len(own) else "succeed"

    return script


@dataclass
class _Shared:
    """An order and the workers that run it, of which the first reports."""

    order: Order
    workers: tuple[str, ...]
    has_started: bool = False
    is_cancelled: bool = False


@dataclass
class FakeExecutor(Executor):
    """Ends orders as a script says, which is asked at every poll. Success copies the source.

    A poll without messages advances the clock by IDLE_SECONDS. lack: why no worker can join, until
    some are added.
    """

    script: Script = field(default_factory=lambda: scripted({}))
    workers: int = 1
    clock: FakeClock = field(default_factory=FakeClock)
    lack: str = ""
    orders: list[Order] = field(default_factory=list)
    sharing: list[tuple[str, ...]] = field(default_factory=list)
    wanted: list[int] = field(default_factory=list)
    _alive: dict[str, _Shared | None] = field(default_factory=dict)
    _messages: deque[Message] = field(default_factory=deque)
    _worker_count: int = 0
    _last_alive: float = 0.0
    _asked: tuple[str, ...] = ()

    def start(self) -> None:
        self._last_alive = self.clock.time()
        if self.lack:
            self._messages += [Room(0), NoWorkers(self.lack)]
        else:
            self.add_workers(self.workers)

    def add_workers(self, count: int) -> None:
        """Let workers join."""
        self._messages.append(Room(len(self._alive) + count))
        for _ in range(count):
            self._add_worker()

    def assign(self, workers: Sequence[str], order: Order) -> None:
        if not all(worker in self._alive for worker in workers):
            return
        for worker in workers:
            if self._alive[worker]:
                raise FarmBug(f"{worker} was given {order.unit.name} while it had another order")
        shared = _Shared(order, tuple(workers))
        self._alive |= dict.fromkeys(workers, shared)
        self.orders.append(order)
        self.sharing.append(shared.workers)

    def want(self, workers: int) -> None:
        self.wanted.append(workers)

    def poll(self, timeout: float) -> Sequence[Message]:
        for name, shared in list(self._alive.items()):
            if shared and shared.workers[0] == name:
                self._advance(name, shared)
        if not self._messages:
            self.clock.advance(IDLE_SECONDS)
        self._show_life()
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def cancel(self, worker: str, token: str) -> None:
        shared = self._alive.get(worker)
        if shared and shared.order.token == token:
            shared.is_cancelled = True

    def kill(self, worker: str) -> None:
        if worker not in self._alive:
            return
        self._free(self._alive[worker])
        del self._alive[worker]
        self._messages.append(WorkerLost(worker, "it was killed"))
        self._add_worker()

    def close(self) -> None:
        self._alive.clear()
        self._messages.clear()

    def _add_worker(self) -> None:
        self._worker_count += 1
        name = f"fake-{self._worker_count}"
        self._alive[name] = None
        self._messages.append(WorkerJoined(name, "cpu"))

    def _show_life(self) -> None:
        """Report the workers that were asked at the last poll, and ask them again if it is time."""
        self._messages += [WorkerAlive(name) for name in self._asked if name in self._alive]
        self._asked = ()
        if self.clock.time() - self._last_alive >= ALIVE_SECONDS:
            self._last_alive = self.clock.time()
            self._asked = tuple(self._alive)

    def _advance(self, name: str, shared: _Shared) -> None:
        order, end = shared.order, self.script(shared.order)
        if end == "die_before_start":
            self.kill(name)
            return
        if not shared.has_started:
            shared.has_started = True
            self._messages.append(UnitStarted(name, order.token))
            self._messages.append(UnitProgress(name, order.token, 0.5, "waiting", 1))
        if shared.is_cancelled and end != "ignore_cancel":
            self._end(shared, UnitCancelled(name, order.token))
        elif isinstance(end, Failure):
            self._end(shared, UnitFailed(name, order.token, end))
        elif end == "succeed":
            self._end(shared, UnitSucceeded(name, order.token, _copy(order.unit)))
        elif end == "lose_member":
            self.kill(shared.workers[-1])
        elif end in {"die", "succeed_after_death"}:
            self.kill(name)
            if end == "succeed_after_death":
                self._messages.append(UnitSucceeded(name, order.token, FIGURES))

    def _end(self, shared: _Shared, last: Message) -> None:
        self._free(shared)
        self._messages.append(last)

    def _free(self, shared: _Shared | None) -> None:
        """Make the workers that share an order idle."""
        if shared:
            self._alive |= dict.fromkeys(shared.workers)


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
