"""The worker in a process of the pool. Does not know Ray: the pool wraps it in an actor.

Methods return plain data, errors included; Ray reports an error only if the process dies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from farm.errors import FarmBug, FarmError
from farm.execution.finishing import Finisher
from farm.execution.runner import Runner
from farm.execution.worker import Worker, attempt
from farm.host.registry import Registry
from farm.model.messages import (
    Order,
    TrainingFigures,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitSucceeded,
    WorkerKind,
)
from farm_cluster.group import GroupMember, Seat, leave, serve_store
from farm_cluster.inventory import inventory
from farm_cluster.visibility import is_seen
from farm_cluster.worker_device import device_memory, name_device

if TYPE_CHECKING:
    from torch._C._distributed_c10d import TCPStore

__all__ = ["End", "FarmActor", "StartResult", "Unseen"]


@dataclass(frozen=True)
class StartResult:
    """What a worker reports when it starts.

    device, memory: as in WorkerJoined. refusal: why it cannot work, or empty.
    """

    inventory: tuple[str, ...]
    device: str = ""
    memory: int = 0
    refusal: str = ""


@dataclass(frozen=True)
class Unseen:
    """The worker did not start an order, because it does not see a file that the order reads."""

    path: str


End = UnitSucceeded | UnitFailed | UnitCancelled
"""How a worker's part of an order ended."""


@final
class FarmActor:
    """A worker with one device, or a finisher without one.

    host: the address of its node. One thread calls run(); any thread may call the other methods.
    """

    def __init__(
        self, name: str, kind: WorkerKind, threads: int, plugins_dir: str | None, host: str
    ) -> None:
        self._name, self._kind, self._threads, self._host = name, kind, threads, host
        self._plugins_dir = Path(plugins_dir) if plugins_dir else None
        self._runner: Runner | None = None
        self._device, self._memory = "", 0
        self._store: TCPStore | None = None
        self._progress: UnitProgress | None = None
        self._cancelled = ""

    def start(self) -> StartResult:
        """Load the plugins and set up the device."""
        try:
            registry = Registry.load(self._plugins_dir)
            self._runner = self._make_runner(registry)
        except FarmError as error:
            return StartResult((), refusal=str(error))
        except Exception as error:  # noqa: BLE001 - an installation may be broken in any way
            return StartResult((), refusal=f"{type(error).__name__}: {error}")
        return StartResult(inventory(registry), self._device, self._memory)

    def _make_runner(self, registry: Registry) -> Runner:
        if self._kind == "finish":
            return Finisher()
        self._device = name_device(self._kind)
        self._memory = device_memory(self._kind, self._threads)
        return Worker(registry, "cpu" if self._kind == "cpu" else None)

    def find_unseen(self, paths: Sequence[str]) -> str:
        """Return the first of these files and folders that is not to be seen here, or an empty text."""
        return next((path for path in paths if not is_seen(path)), "")

    def meet(self) -> int:
        """Serve the store of a group that this worker will lead; return its port."""
        self._store = serve_store()
        return self._store.port

    def run(
        self, order: Order, files: Sequence[str] = (), seat: Seat | None = None
    ) -> End | Unseen:
        """Run one order, or this worker's part of it, and return its result.

        files: what must exist here before it can start. seat: in the group that shares the order.
        """
        if self._runner is None:
            raise FarmBug(f"{self._name} was given an order before it started")
        if path := self.find_unseen(files):
            return Unseen(path)

        def report(
            done: float, note: str, tiles: int, training: TrainingFigures | None = None
        ) -> None:
            self._progress = UnitProgress(self._name, order.token, done, note, tiles, training)

        def is_cancelled() -> bool:
            return self._cancelled == order.token

        if seat is None:
            return attempt(self._runner, self._name, order, report, is_cancelled)
        assert isinstance(self._runner, Worker)
        member = GroupMember(self._runner, seat, self._store, self._host)
        try:
            return attempt(member, self._name, order, report, is_cancelled)
        finally:
            self._store = None
            leave()

    def progress(self) -> UnitProgress | None:
        """Return the latest progress, or None before the first."""
        return self._progress

    def cancel(self, token: str) -> None:
        """Stop the order with this token, even if it has not started yet."""
        self._cancelled = token
