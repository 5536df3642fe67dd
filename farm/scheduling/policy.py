"""How often to try again, when, and where: values and pure functions, no state."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from farm.model.messages import Reason, WorkerKind
from farm.model.unit import Role

_TRIES = MappingProxyType(
    {
        Reason.USER_ERROR: 3,
        Reason.PLUGIN_ERROR: 3,
        Reason.WORKER_DIED: 3,
        Reason.WORKER_LOST: 10,
        Reason.STORAGE: 5,
        Reason.TIMEOUT: 2,
        Reason.MEMORY: 2,
        Reason.BUG: 1,
    }
)
"""Most for what heals by itself, three where a person or the unit is to blame, two for what is
dear to repeat, one for what only repeats itself."""

_FINISHER: Final = "finish"

_AT_ONCE = frozenset({Reason.USER_ERROR, Reason.PLUGIN_ERROR})
"""Waiting heals none of these; another worker may."""


@dataclass(frozen=True)
class Policy:
    """The farm's patience.

    tries: attempts that may fail for each reason, each on its own budget. backoff_seconds:
    wait before the first retry, doubled for each further one up to the cap.
    blocklist_failures: failures in a row before a worker gets no more of a job's units, for
    forgive_seconds. silence_seconds: a lease without a word this long loses its worker.
    cancel_seconds: so does one that was asked to stop this long ago. no_workers_seconds: a
    farm without workers this long gives its jobs up.
    """

    tries: Mapping[Reason, int] = field(default_factory=lambda: _TRIES)
    backoff_seconds: float = 1.0
    backoff_cap_seconds: float = 60.0
    blocklist_failures: int = 3
    forgive_seconds: float = 1800.0
    silence_seconds: float = 1800.0
    cancel_seconds: float = 30.0
    no_workers_seconds: float = 300.0

    def is_spent(self, reason: Reason, failures: int) -> bool:
        """Say whether so many failures for this reason are too many."""
        return failures >= self.tries[reason]

    def delay(self, reason: Reason, failures: int) -> float:
        """Return seconds to wait before the next try, after so many failures."""
        if reason in _AT_ONCE:
            return 0.0
        return float(min(self.backoff_seconds * 2 ** (failures - 1), self.backoff_cap_seconds))

    def is_blocked(self, failures: int, seconds_ago: float) -> bool:
        """Say whether a worker with so many failures in a row is off a job for now."""
        return failures >= self.blocklist_failures and seconds_ago < self.forgive_seconds


def serves(kind: WorkerKind, role: Role, kinds: Collection[WorkerKind]) -> bool:
    """Say whether a worker of this kind may take units of this role.

    kinds: of all workers. Rendering workers finish only where no finishing one is there.
    """
    is_finisher = kind == _FINISHER
    if role is Role.RENDER:
        return not is_finisher
    return is_finisher or _FINISHER not in kinds


def allowed(workers: Collection[str], blocked: Collection[str]) -> frozenset[str]:
    """Return the workers a job may use: those not blocked, or all where none would be left."""
    return frozenset(workers) - frozenset(blocked) or frozenset(workers)


def may_try(worker: str, tried_on: Collection[str], pool: Collection[str]) -> bool:
    """Say whether the worker may have a unit; those it has not failed on go first."""
    return worker not in tried_on or all(other in tried_on for other in pool)


def turn(priority: int, held: int, created: float) -> tuple[int, int, float]:
    """Return a job's sorting key: priority, then fewest units in work, then age."""
    return -priority, held, created
