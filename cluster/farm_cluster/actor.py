"""The worker in a process of the pool. Does not know Ray: the pool wraps it in an actor.

Methods return plain data, errors included; Ray reports an error only if the process dies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

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
from farm_cluster.inventory import inventory
from farm_cluster.worker_device import name_device

__all__ = ["FarmActor", "StartResult", "Unseen"]


@dataclass(frozen=True)
class StartResult:
    """What a worker reports when it starts.

    device: what equal bytes depend on. refusal: why it cannot work, or empty.
    """

    inventory: tuple[str, ...]
    device: str = ""
    refusal: str = ""


@dataclass(frozen=True)
class Unseen:
    """The worker did not start an order, because it does not see a file that the order reads."""

    path: str


@final
class FarmActor:
    """A worker with one device, or a finisher without one.

    One thread calls run(); any thread may call the other methods.
    """

    def __init__(self, name: str, kind: WorkerKind, threads: int, plugins_dir: str | None) -> None:
        self._name, self._kind, self._threads = name, kind, threads
        self._plugins_dir = Path(plugins_dir) if plugins_dir else None
        self._runner: Runner | None = None
        self._device = ""
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
        return StartResult(inventory(registry), self._device)

    def _make_runner(self, registry: Registry) -> Runner:
        if self._kind == "finish":
            return Finisher()
        self._device = name_device(self._kind)
        return Worker(registry, "cpu" if self._kind == "cpu" else None)

    def sees(self, path: str) -> bool:
        """Return whether this file or folder exists here."""
        return Path(path).exists()

    def run(
        self, order: Order, files: Sequence[str] = ()
    ) -> UnitSucceeded | UnitFailed | UnitCancelled | Unseen:
        """Run one order and return its result. files: what must exist here before it can start."""
        if self._runner is None:
            raise FarmBug(f"{self._name} was given an order before it started")
        for path in files:
            if not self.sees(path):
                return Unseen(path)

        def report(
            done: float, note: str, tiles: int, training: TrainingFigures | None = None
        ) -> None:
            self._progress = UnitProgress(self._name, order.token, done, note, tiles, training)

        return attempt(
            self._runner, self._name, order, report, lambda: self._cancelled == order.token
        )

    def progress(self) -> UnitProgress | None:
        """Return the latest progress, or None before the first."""
        return self._progress

    def cancel(self, token: str) -> None:
        """Stop the order with this token, even if it has not started yet."""
        self._cancelled = token
