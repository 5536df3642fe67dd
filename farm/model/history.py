"""What the ledger remembers about units, and how a unit starts in a new farm."""

from dataclasses import dataclass

from farm.model.messages import Failure, Figures, Reason
from farm.model.unit import Unit, UnitState


@dataclass(frozen=True)
class RestoredUnit:
    """A unit as it enters the scheduler, new or from the ledger.

    failures: the reasons of earlier attempts, each of which counts. crashes: how many farms in a
    row died while they held it. figures: of its latest success in an earlier job, which may still be
    good. retried_from: the first attempt since its user wanted it tried again; 0 if nobody did.
    """

    unit: Unit
    state: UnitState
    attempt: int = 0
    failures: tuple[Reason, ...] = ()
    crashes: int = 0
    figures: Figures | None = None
    retried_from: int = 0


@dataclass(frozen=True)
class UnitRecord:
    """A unit as the ledger knows it.

    number: its place among the units of its job, from 0. figures: of the latest success, maybe in an earlier job. failures: oldest first. crashes: how many
    farms in a row had died while they held it when its job began or was taken over. retried_from: as in
    RestoredUnit.
    """

    unit: Unit
    state: UnitState
    attempts: int
    reason: str
    figures: Figures | None
    failures: tuple[Failure, ...] = ()
    crashes: int = 0
    number: int = 0
    retried_from: int = 0

    @property
    def restored(self) -> RestoredUnit:
        """The unit as it enters a farm that resumes it."""
        reasons = tuple(failure.reason for failure in self.failures)
        return RestoredUnit(
            self.unit,
            self.state,
            self.attempts,
            reasons,
            self.crashes,
            self.figures,
            self.retried_from,
        )


@dataclass(frozen=True)
class StoryLine:
    """A change of a unit's state. number: rises with time. at: Unix seconds. by: see UnitChanged."""

    number: int
    at: float
    unit: str
    state: UnitState
    attempt: int
    worker: str
    reason: str
    by: str

    def __str__(self) -> str:
        line = f"{self.at:.3f} {self.unit} {self.state} attempt {self.attempt} {self.worker}"
        return f"{line} {self.reason}".rstrip()


@dataclass(frozen=True)
class UnitFailure:
    """A failed attempt of a unit. number: rises with time."""

    number: int
    unit: str
    attempt: int
    failure: Failure
