"""What the scheduler takes in and gives out: frozen data, no rules.

Events come from the controller and, as messages, from executors. Of the instructions, those
that are News are stored and told; the rest is acted on.
"""

from dataclasses import dataclass

from farm.executor import Failure, Figures, Message, Order, Reason, UnitProgress, WorkerKind
from farm.job import Job, Unit, UnitState, Wanted


@dataclass(frozen=True)
class Entering:
    """A unit as it enters. failures: reasons of attempts it has spent before, each counted."""

    unit: Unit
    state: UnitState
    attempt: int = 0
    failures: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class JobSubmitted:
    """A job enters, new or from the ledger.

    A unit that enters leased or running was held by a farm that is no more.
    """

    job: Job
    units: tuple[Entering, ...]


@dataclass(frozen=True)
class WantedChanged:
    """A person wants a job to run, pause or end."""

    job: str
    wanted: Wanted


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True)
class Stopping:
    """The farm ends: what runs is asked to stop, nothing new is placed."""


Event = JobSubmitted | WantedChanged | Tick | Stopping | Message


@dataclass(frozen=True)
class UnitChanged:
    """Store and tell: a unit is in a new state. by: who decided it.

    failure: of the attempt that ended, if it failed. waited: seconds ready before this lease.
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


@dataclass(frozen=True)
class JobChanged:
    """Store and tell: a job is in a new state, or something else is wanted of it."""

    job: Job


@dataclass(frozen=True)
class Reading:
    """Tell: a film is read before its job is planned. done: fraction 0..1. Not stored."""

    url: str
    done: float


@dataclass(frozen=True)
class Noted:
    """Tell, before work begins, what of a film or an output is otherwise than one might expect.

    Not stored.
    """

    url: str
    note: str


@dataclass(frozen=True)
class Progressed:
    """Tell: a running unit came so far. Not stored."""

    unit: Unit
    progress: UnitProgress


@dataclass(frozen=True)
class WorkerChanged:
    """Tell: a worker is idle, busy or gone."""

    worker: str
    kind: WorkerKind
    state: str
    reason: str = ""


@dataclass(frozen=True)
class StaleReport:
    """Tell: a report under a lease that is no more was dropped."""

    worker: str
    token: str


@dataclass(frozen=True)
class Assign:
    """Act: hand the order to the worker."""

    worker: str
    order: Order


@dataclass(frozen=True)
class CancelWork:
    """Act: ask the worker to stop its unit."""

    worker: str


@dataclass(frozen=True)
class KillWorker:
    """Act: end the worker; it has not said a word, or not stopped, for too long."""

    worker: str


News = Reading | Noted | UnitChanged | JobChanged | Progressed | WorkerChanged | StaleReport
Instruction = News | Assign | CancelWork | KillWorker
