"""The contract of executors, which own workers.

An executor makes no decisions about retries and stores nothing. The controller assigns one order at a time to
an idle worker and polls for messages.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.model.messages import Message, Order


class Executor(ABC):
    """Workers that run orders, each one order at a time.

    A worker sends WorkerJoined when it is ready; for each order UnitStarted, any number of
    UnitProgress, and one of UnitSucceeded, UnitFailed or UnitCancelled; and WorkerLost when it is
    gone. tests/contract checks an executor.
    """

    @abstractmethod
    def start(self) -> None:
        """Start the workers. Each sends WorkerJoined when it is ready."""

    @abstractmethod
    def assign(self, worker: str, order: Order) -> None:
        """Give an order to an idle worker and return at once.

        A worker that is gone ignores it. Raises FarmBug if the worker is busy.
        """

    @abstractmethod
    def poll(self, timeout: float) -> Sequence[Message]:
        """Return the messages so far, waiting up to timeout seconds for the first one."""

    @abstractmethod
    def cancel(self, worker: str) -> None:
        """Ask the worker to stop its unit. It sends UnitCancelled, unless the unit ends first."""

    @abstractmethod
    def kill(self, worker: str) -> None:
        """End the worker at once. WorkerLost follows, then WorkerJoined from its replacement."""

    @abstractmethod
    def close(self) -> None:
        """Stop all workers and free their resources. Calling it again does nothing."""


@dataclass(frozen=True)
class ExecutorOptions:
    """What an executor is created with.

    workers: None for as many as the cluster has room for. threads: per worker. address: of the
    cluster; None starts one on this machine.
    """

    workers: int | None = None
    threads: int = 1
    address: str | None = None
    plugins_dir: Path | None = None


ExecutorFactory = Callable[[ExecutorOptions], Executor]
