"""The executor's contract: who runs a unit, and what it says about it.

An executor owns workers and nothing else: it decides no retries and stores nothing. The
controller assigns one order at a time to an idle worker and polls for what happened.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.model.messages import Message, Order


class Executor(ABC):
    """Workers that run orders. One order at a time on each worker."""

    @abstractmethod
    def start(self) -> None:
        """Start the workers; each one is announced by a WorkerJoined message."""

    @abstractmethod
    def assign(self, worker: str, order: Order) -> None:
        """Hand an order to an idle worker and return at once."""

    @abstractmethod
    def poll(self, timeout: float) -> Sequence[Message]:
        """Return what happened, waiting up to timeout seconds for the first message."""

    @abstractmethod
    def cancel(self, worker: str) -> None:
        """Ask the worker to stop its unit soon; UnitCancelled (or another end) follows."""

    @abstractmethod
    def kill(self, worker: str) -> None:
        """End the worker at once; WorkerLost follows, then WorkerJoined of its successor."""

    @abstractmethod
    def close(self) -> None:
        """Stop everything and free it. Safe to call twice."""


@dataclass(frozen=True)
class ExecutorOptions:
    """What a pool is made from. workers: None for as many as the cluster holds."""

    workers: int | None = None
    threads: int = 1
    address: str | None = None
    plugins_dir: Path | None = None


ExecutorFactory = Callable[[ExecutorOptions], Executor]
