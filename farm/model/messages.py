"""What passes between the controller and its workers: orders out, messages back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from farm.model.job import FilmOptions, Plan
from farm.model.transfers import Transfers
from farm.model.unit import Unit


class Reason(StrEnum):
    """Why an attempt failed; also the label of the retry and failure metrics."""

    USER_ERROR = "user_error"
    PLUGIN_ERROR = "plugin_error"
    TIMEOUT = "timeout"
    WORKER_DIED = "worker_died"
    WORKER_LOST = "worker_lost"  # before the unit started, so the unit is not to blame
    CRASH = "crash"  # of the whole farm, killed by its user or by the unit
    MEMORY = "memory"
    STORAGE = "storage"
    BUG = "bug"


class Hold(StrEnum):
    """What a job waits for when a failure would be the same for each of its units."""

    STORAGE = "storage"  # a storage that is full or does not answer
    RESTART = "restart"  # another farm, with a plugin that can run the job's task


WorkerKind = Literal["cpu", "gpu", "finish"]
"""What a worker computes on. A worker of kind finish renders nothing."""


@dataclass(frozen=True)
class Order:
    """One attempt at one unit.

    token: identifies the lease; reports with another token are stale. missing: names of needed
    units that failed. film: how a film is encoded, for its record. frames: as in JobSpec. files:
    SHA-256 of the files that the unit depends on when the job was submitted, as in JobSpec, with
    the film that it reads.
    """

    unit: Unit
    attempt: int
    token: str
    task: str
    params: dict[str, object]
    plan: Plan
    missing: tuple[str, ...] = ()
    film: FilmOptions = field(default_factory=FilmOptions)
    frames: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    """What a finished unit cost.

    seconds: by stage (load, compute, write). pixels: of the output. overlap_pixels: computed
    more than once because tiles overlap. tiles: passes over a tile. source_sha256, target_sha256:
    digests of the files. ahead_sha256: that of the file with the later frame that the unit looked at, empty if
    there was none; None if it did not look. target_bytes, target_pixels: of the file that was written, if it stays; all
    its frames count.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    pixels: int = 0
    overlap_pixels: int = 0
    tiles: int = 0
    source_sha256: str = ""
    target_sha256: str = ""
    ahead_sha256: str | None = None
    target_bytes: int = 0
    target_pixels: int = 0


@dataclass(frozen=True)
class TrainingFigures:
    """What a run did until its latest step.

    pictures: trained on so far. losses: of the step, by name. rate: the learning rate, if the run
    names one. seconds: of the step, by stage (data, compute, exchange, checkpoint). taken: steps
    that this attempt has taken, those that a rewind undid included. warning: empty if all is well.
    has_advanced: this attempt has written a checkpoint beyond the one that it began with.
    """

    step: int
    pictures: int
    losses: Mapping[str, float]
    rate: float | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    taken: int = 0
    warning: str = ""
    has_advanced: bool = False


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed.

    is_fatal: no further attempt can succeed, as for a refused input. hold: every unit of the job
    would fail like this one, so the job waits; None if only this unit is affected. is_mistake: the
    plugin's code is wrong, so one more attempt is enough, in case the worker lacks something. alone: the
    one file that could not be used while its storage answered otherwise; empty if it did not, or nobody asked.
    """

    reason: Reason
    message: str
    is_fatal: bool = False
    traceback: str = ""
    hold: Hold | None = None
    is_mistake: bool = False
    alone: str = ""


@dataclass(frozen=True)
class WorkerJoined:
    """A worker is ready for orders.

    device: what equal bytes depend on, such as "cpu AVX512" or the name of a GPU. threads: cores that
    it has to itself. memory: of its device, in bytes; 0 if it is not known. installed: versions and
    plugins, as text.
    """

    worker: str
    kind: WorkerKind
    node: str = "local"
    device: str = ""
    threads: int = 1
    memory: int = 0
    installed: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkerAlive:
    """A worker's process answers, whether or not its unit makes progress."""

    worker: str


@dataclass(frozen=True)
class Room:
    """The executor has room for this many rendering workers at present, joined or not."""

    workers: int


@dataclass(frozen=True)
class NoWorkers:
    """The executor has no worker, and none can join until something changes outside the farm."""

    reason: str


@dataclass(frozen=True)
class WorkerRefused:
    """A worker started but cannot take orders, for example because its versions differ."""

    worker: str
    kind: WorkerKind
    reason: str


@dataclass(frozen=True)
class WorkerLost:
    """A worker is gone, along with whatever it was doing. is_surplus: fewer are needed, so it was ended."""

    worker: str
    reason: str
    is_surplus: bool = False


@dataclass(frozen=True)
class UnitStarted:
    worker: str
    token: str


@dataclass(frozen=True)
class UnitProgress:
    """done: fraction of the frame, 0..1. tiles: passes over a tile so far in this attempt.

    training: of a run, after a step.
    """

    worker: str
    token: str
    done: float
    note: str = ""
    tiles: int = 0
    training: TrainingFigures | None = None


@dataclass(frozen=True)
class UnitSucceeded:
    """transfers: files that the worker's process moved since it last said so; equal messages may differ in them."""

    worker: str
    token: str
    figures: Figures
    transfers: tuple[Transfers, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class UnitFailed:
    """transfers: as in UnitSucceeded."""

    worker: str
    token: str
    failure: Failure
    transfers: tuple[Transfers, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class UnitCancelled:
    """The worker stopped the unit as it was asked to; nothing was written.

    transfers: as in UnitSucceeded.
    """

    worker: str
    token: str
    transfers: tuple[Transfers, ...] = field(default=(), compare=False)


Message = (
    WorkerJoined
    | WorkerAlive
    | WorkerRefused
    | WorkerLost
    | Room
    | NoWorkers
    | UnitStarted
    | UnitProgress
    | UnitSucceeded
    | UnitFailed
    | UnitCancelled
)


@runtime_checkable
class ReportProgress(Protocol):
    """Receives how far a unit is: see UnitProgress."""

    def __call__(
        self, done: float, note: str, tiles: int, training: TrainingFigures | None = None, /
    ) -> None: ...
