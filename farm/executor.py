"""The executor's contract: who runs a unit, and what it says about it.

An executor owns workers and nothing else: it decides no retries and stores nothing. The
controller assigns one order at a time to an idle worker and polls for what happened.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from farm.job import Plan, Unit


class Reason(StrEnum):
    """Why a unit failed: the label of the retry and failure metrics."""

    USER_ERROR = "user_error"
    PLUGIN_ERROR = "plugin_error"
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    WORKER_LOST = "worker_lost"  # before the unit began: none of its doing
    MEMORY = "memory"
    STORAGE = "storage"
    BUG = "bug"


WorkerKind = Literal["cpu", "gpu", "finish"]
"""What a worker computes on; one of kind finish renders nothing."""


@dataclass(frozen=True)
class Order:
    """One attempt at one unit.

    token: names the lease; reports with another are stale. missing: needed units that came to
    nothing, by name.
    """

    unit: Unit
    attempt: int
    token: str
    task: str
    params: dict[str, object]
    plan: Plan
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figures:
    """What a finished unit cost.

    seconds: by stage (load, compute, write). pixels: of the output. overlap_pixels: computed
    more than once because tiles overlap. tiles: tile passes. digests: sha256 of the files.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    pixels: int = 0
    overlap_pixels: int = 0
    tiles: int = 0
    source_sha256: str = ""
    target_sha256: str = ""


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed. is_fatal: no other attempt can succeed (a refused input)."""

    reason: Reason
    message: str
    is_fatal: bool = False
    traceback: str = ""


@dataclass(frozen=True)
class WorkerJoined:
    """A worker is ready for orders."""

    worker: str
    kind: WorkerKind
    node: str = "local"


@dataclass(frozen=True)
class WorkerLost:
    """A worker is gone, with whatever it was doing."""

    worker: str
    reason: str


@dataclass(frozen=True)
class UnitStarted:
    worker: str
    token: str


@dataclass(frozen=True)
class UnitProgress:
    """done: fraction 0..1 of the frame. tiles, pixels: so far in this attempt."""

    worker: str
    token: str
    done: float
    note: str = ""
    tiles: int = 0


@dataclass(frozen=True)
class UnitSucceeded:
    worker: str
    token: str
    figures: Figures


@dataclass(frozen=True)
class UnitFailed:
    worker: str
    token: str
    failure: Failure


@dataclass(frozen=True)
class UnitCancelled:
    """The worker stopped the unit because it was asked to; nothing was written."""

    worker: str
    token: str


Message = (
    WorkerJoined
    | WorkerLost
    | UnitStarted
    | UnitProgress
    | UnitSucceeded
    | UnitFailed
    | UnitCancelled
)


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
