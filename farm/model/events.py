"""What the scheduler takes in and gives out.

Events come from the controller, and as messages from executors. Instructions are either News,
which observers receive, or something for the executor to do. Those that every unit needs several of
are named tuples, which are made in a quarter of the time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from farm.model.history import RestoredUnit
from farm.model.job import Job, Wanted
from farm.model.messages import Failure, Figures, Message, Order, UnitProgress, WorkerKind
from farm.model.transfers import Transfers
from farm.model.unit import Unit, UnitState

AnyEvent = TypeVar("AnyEvent")


@dataclass(frozen=True)
class JobSubmitted:
    """A job enters, new or from the ledger.

    A unit that enters leased or running was held by a farm that has since exited.
    """

    job: Job
    units: tuple[RestoredUnit, ...]


@dataclass(frozen=True)
class WantedChanged:
    """The user wants a job to run, pause or stop."""

    job: str
    wanted: Wanted


@dataclass(frozen=True)
class CancelWanted:
    """The user wants a job to stop: none of its units starts from now on. WantedChanged ends it."""

    job: str


@dataclass(frozen=True)
class PriorityChanged:
    """The user wants a job to run sooner or later than others. priority: 0..100, as in JobSpec."""

    job: str
    priority: int


@dataclass(frozen=True)
class RetryWanted:
    """The user wants units of a job to be tried again, and whatever was made with or without them.

    units: names; all of them if none is named. Only those that failed are tried, unless is_redo. gone:
    units that are done and whose working files have been removed.
    """

    job: str
    units: tuple[str, ...] = ()
    is_redo: bool = False
    gone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class JobReopened:
    """A job that has ended enters again, because units of it are to be tried again."""

    job: Job
    units: tuple[RestoredUnit, ...]
    wish: RetryWanted


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Stopping:
    """The farm is stopping: running units are asked to stop, and no new ones start."""


Wish = WantedChanged | CancelWanted | PriorityChanged | RetryWanted
Event = JobSubmitted | JobReopened | Wish | Tick | Stopping | Message


class UnitChanged(NamedTuple):
    """Stored: a unit is in a new state.

    by: who decided it. worker: the one that reports. failure: of the attempt that ended, if it failed.
    waited: seconds the unit was ready before this lease. workers: all that share it from now on.
    crashes: if its user wants it tried again, how many of the farms that died still count; none of its
    failures does.
    """

    unit: Unit
    state: UnitState
    attempt: int
    reason: str = ""
    by: str = "policy"
    worker: str = ""
    figures: Figures | None = None
    failure: Failure | None = None
    waited: float = 0.0
    workers: tuple[str, ...] = ()
    crashes: int | None = None

    @property
    def job(self) -> str:
        return self.unit.job


@dataclass(frozen=True)
class UnitsCancelled:
    """Stored: all units of a job that waited, however many, are cancelled.

    units: in their order. attempts: of each. reason, by: as in UnitChanged.
    """

    job: str
    units: tuple[Unit, ...]
    attempts: tuple[int, ...]
    reason: str = ""
    by: str = "policy"

    def changes(self) -> Iterator[UnitChanged]:
        """Yield the same as a change of each unit."""
        for unit, attempt in zip(self.units, self.attempts, strict=True):
            yield UnitChanged(unit, UnitState.CANCELLED, attempt, self.reason, self.by)


@dataclass(frozen=True)
class UnitAdvanced:
    """Stored: a run has got further than when a farm last died, so that deaths until then no longer count."""

    unit: Unit

    @property
    def job(self) -> str:
        return self.unit.job


UnitEvent = UnitChanged | UnitsCancelled | UnitAdvanced


@dataclass(frozen=True)
class JobChanged:
    """Stored: a job is in a new state, or the user wants something else of it.

    How far planning has got, as the job's reason, is not stored.
    """

    job: Job


@dataclass(frozen=True)
class ReadProgress:
    """Not stored: how much of a file has been read to plan its job. done: fraction, 0..1.

    number, count: which of the job's films it is, from 1, and how many there are.
    """

    url: str
    done: float
    number: int = 1
    count: int = 1


@dataclass(frozen=True)
class Notice:
    """Not stored: something about an input, an output or the ledger that the user should know.

    job: that is planned by a thread; empty for any other.
    """

    url: str
    note: str
    job: str = ""


@dataclass(frozen=True)
class Progressed:
    """Not stored: how far a running unit is."""

    unit: Unit
    progress: UnitProgress


@dataclass(frozen=True)
class WorkerChanged:
    """Not stored: a worker is now idle, busy, refused, gone, or ended because fewer are needed."""

    worker: str
    kind: WorkerKind
    state: str
    reason: str = ""


@dataclass(frozen=True)
class StaleReport:
    """Not stored: a report of a worker that no longer held the unit was dropped."""

    worker: str
    token: str


@dataclass(frozen=True)
class FilesMoved:
    """Not stored: what a worker's process moved to and from storages."""

    transfers: tuple[Transfers, ...]


class Assign(NamedTuple):
    """Hand the order to the workers, which share its unit. The first one reports."""

    workers: tuple[str, ...]
    order: Order


@dataclass(frozen=True)
class CancelWork:
    """Ask the worker to stop the unit that it holds under this lease. token: of the lease."""

    worker: str
    token: str


@dataclass(frozen=True)
class KillWorker:
    """End the worker: it has been silent, or has ignored a request to stop, for too long."""

    worker: str


News = (
    ReadProgress
    | Notice
    | UnitChanged
    | UnitsCancelled
    | JobChanged
    | Progressed
    | WorkerChanged
    | StaleReport
    | FilesMoved
)
Instruction = News | UnitAdvanced | Assign | CancelWork | KillWorker


def one_by_one(event: AnyEvent) -> Iterator[AnyEvent | UnitChanged]:
    """Yield an event as changes of single units if it changes many, for whoever needs each."""
    if isinstance(event, UnitsCancelled):
        yield from event.changes()
    else:
        yield event
