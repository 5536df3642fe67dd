"""The contract of executors, which own workers.

An executor makes no decisions about retries and stores nothing. The controller assigns one order at a time to
an idle worker, or to several that share it, and polls for messages. Whatever happens to workers is
a message, never an exception out of poll.
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
    gone. Of several workers that share an order, the first one sends these, and if any of them is
    lost, so is the attempt. WorkerAlive may arrive at any time. Room is sent when the workers start and
    whenever it changes; NoWorkers, when there is no worker and none can join. tests/contract checks
    an executor.
    """

    @abstractmethod
    def start(self) -> None:
        """Start the workers. Each sends WorkerJoined when it is ready."""

    @abstractmethod
    def assign(self, workers: Sequence[str], order: Order) -> None:
        """Give an order to an idle worker, or to several that share it, and return at once.

        Nothing happens if one of them is gone: its WorkerLost is on its way. Raises FarmBug if one is
        busy.
        """

    @abstractmethod
    def poll(self, timeout: float) -> Sequence[Message]:
        """Return the messages so far, waiting up to timeout seconds for the first one."""

    @abstractmethod
    def cancel(self, worker: str, token: str) -> None:
        """Ask the worker to stop the order with this token; it ignores any other token.

        It sends UnitCancelled, unless the unit ends first. worker: the first of those that share it.
        """

    @abstractmethod
    def kill(self, worker: str) -> None:
        """End the worker at once. WorkerLost follows, then WorkerJoined from its replacement."""

    def want(self, workers: int) -> None:  # noqa: B027 - most executors cannot grow
        """Take note of how many rendering workers the units that run or wait could use."""

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
