"""A unit as the scheduler sees it: its state, its history, and the units that wait for it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from farm.errors import FarmBug
from farm.model.history import RestoredUnit
from farm.model.messages import Reason
from farm.model.unit import ALL_WORKERS, FINAL, HELD, Role, Unit, UnitState

S = UnitState

TRANSITIONS = frozenset(
    {
        (S.BLOCKED, S.READY),
        (S.BLOCKED, S.CANCELLED),
        (S.READY, S.LEASED),
        (S.READY, S.QUARANTINED),
        (S.READY, S.CANCELLED),
        (S.READY, S.BLOCKED),
        (S.LEASED, S.RUNNING),
        (S.RETRY_WAIT, S.READY),
        (S.RETRY_WAIT, S.CANCELLED),
        (S.RETRY_WAIT, S.BLOCKED),
        *(
            (end, again)
            for end in (S.SUCCEEDED, S.SKIPPED, S.QUARANTINED, S.CANCELLED)
            for again in (S.READY, S.BLOCKED)
        ),
        *(
            (held, end)
            for held in HELD
            for end in (S.READY, S.RETRY_WAIT, S.SUCCEEDED, S.QUARANTINED, S.CANCELLED)
        ),
    }
)
"""Every change of state that is allowed. Those to blocked, and from the states in which a unit has
ended, are made when a user wants units to be tried again."""


IN_USE = (S.READY, *HELD)
"""States in which a unit uses workers, or could."""


class Lane(StrEnum):
    """What a unit waits for: a rendering worker, several that share it, or one that finishes films."""

    RENDER = "render"
    SHARED = "shared"
    FINISH = "finish"


@dataclass(slots=True, weakref_slot=True, eq=False)
class UnitEntry:
    """A unit and what has happened to it.

    number: index within the job. since: Unix seconds when it entered its state. failures: why its
    attempts failed. crashes: farms in a row that died while they held it. waits_for: number of needed
    units that have not ended, while it is blocked. tried_on: workers it failed on. holders: number
    of workers that hold it. runs_alone: it may have killed farms, so no other unit of its job runs
    beside it. stretch: index of the stretch of a film that it is in; -1 for none. furthest_step: that a run had reached when a worker died.
    retried_from: as in RestoredUnit. held_after: how many units of its job had succeeded when it first met a
    storage that is full or gone; -1 if it never did. held_alone: how often it met one after others had
    succeeded since. cut_off: workers on which it met one since it last succeeded. history: its changes of state since it last ended.
    """

    unit: Unit
    number: int
    state: UnitState
    since: float
    attempt: int
    lane: Lane
    failures: tuple[Reason, ...] = ()
    crashes: int = 0
    waits_for: int = 0
    tried_on: frozenset[str] = frozenset()
    holders: int = 0
    runs_alone: bool = False
    stretch: int = -1
    furthest_step: int = 0
    retried_from: int = 0
    held_after: int = -1
    held_alone: int = 0
    cut_off: frozenset[str] = frozenset()
    history: list[tuple[float, UnitState, UnitState, str, str]] = field(default_factory=list)

    @property
    def renders(self) -> bool:
        return self.lane is not Lane.FINISH

    @property
    def is_clean(self) -> bool:
        """Whether nothing speaks against any worker that may serve the job."""
        return not (self.tried_on or self.crashes or self.runs_alone)

    def is_failed_frame(self, state: UnitState) -> bool:
        """Return whether a state means that it renders and failed, other than for a refused input."""
        return state is S.QUARANTINED and self.renders and Reason.USER_ERROR not in self.failures

    def wanted_workers(self, state: UnitState) -> int:
        """Return how many rendering workers it uses in a state, or could use.

        A unit for all workers counts as one: it takes what is there.
        """
        if not self.renders or state not in IN_USE:
            return 0
        return self.unit.workers if self.unit.workers != ALL_WORKERS else 1

    def enter(self, state: UnitState, now: float, worker: str = "", why: str = "") -> UnitState:
        """Change the state and return the one before. Raises FarmBug for a change not allowed."""
        before = self.state
        if before in FINAL:
            self.history.clear()
        self.history.append((now, before, state, worker, why))
        if (before, state) not in TRANSITIONS:
            what = f"unit {self.unit.name} cannot change from {before} to {state}"
            raise FarmBug(what, tuple(_line(*change) for change in self.history))
        if state in FINAL:
            del self.history[:-1]
        self.state, self.since = state, now
        return before


def _line(now: float, before: UnitState, state: UnitState, worker: str, why: str) -> str:
    return f"{now:.3f} {before} -> {state} {worker} {why}".rstrip()


def make_entries(units: Sequence[RestoredUnit], now: float) -> list[UnitEntry]:
    """Return the entries of a job's units, in their order."""
    return [
        UnitEntry(
            one.unit,
            number,
            one.state,
            now,
            one.attempt,
            _lane(one.unit),
            one.failures,
            one.crashes,
            retried_from=one.retried_from,
        )
        for number, one in enumerate(units)
    ]


def _lane(unit: Unit) -> Lane:
    if unit.role is Role.FINISH:
        return Lane.FINISH
    return Lane.RENDER if unit.workers == 1 else Lane.SHARED
