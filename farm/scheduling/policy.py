"""How often, when and where a unit runs: values and pure functions, no state."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from farm.model.messages import Reason
from farm.model.unit import ALL_WORKERS, Role

_TRIES = MappingProxyType(
    {
        Reason.USER_ERROR: 3,
        Reason.PLUGIN_ERROR: 3,
        Reason.WORKER_DIED: 3,
        Reason.WORKER_LOST: 10,
        Reason.CRASH: 5,
        Reason.STORAGE: 5,
        Reason.TIMEOUT: 2,
        Reason.MEMORY: 2,
        Reason.BUG: 1,
    }
)
"""Many for failures that pass by themselves, more than three when users also stop farms that way,
three when the user or the unit may be at fault, two when a retry is expensive, one when a retry
would fail the same way."""

_IMMEDIATE = frozenset({Reason.USER_ERROR, Reason.PLUGIN_ERROR})
"""Reasons to retry without delay: waiting does not help, but another worker may."""


@dataclass(frozen=True)
class Policy:
    """Retry limits, timeouts, and how workers are shared.

    tries: failed attempts allowed per reason; each reason has its own budget. mistake_tries: of a
    unit that fails by wrong code. backoff_seconds:
    delay before the first retry; it doubles with each further one, up to backoff_cap_seconds.
    blocklist_failures: consecutive failures after which a worker gets no more units of a job, for
    forgive_seconds. silence_seconds: a worker whose unit sends no report for this long is killed.
    cancel_seconds: so is one that has not stopped this long after it was asked to. lifeless_seconds:
    so is one with a unit whose process has not answered for this long, if the executor's workers
    send signs of life. no_workers_seconds: jobs fail after this long without workers.
    waits_for_workers: they wait instead. slice_seconds: a run gives way after this long if others have
    waited for this long. most_wanted: workers that the farm ever asks an executor for.
    kept_records: of jobs that have ended. suspect_crashes: a unit that was
    running when this many farms in a row died runs alone. failed_share, failed_least: a job fails
    when this share of its rendering units is quarantined, and at least this many; refused inputs
    do not count. alike_failures: a job fails when this many units fail with one error of its plugin, before
    any is done. hold_seconds: delay before a job that waits for storage tries one unit; it
    doubles with each failed try, up to hold_cap_seconds.
    """

    tries: Mapping[Reason, int] = field(default_factory=lambda: _TRIES)
    mistake_tries: int = 2
    backoff_seconds: float = 1.0
    backoff_cap_seconds: float = 60.0
    blocklist_failures: int = 3
    forgive_seconds: float = 1800.0
    silence_seconds: float = 1800.0
    cancel_seconds: float = 30.0
    lifeless_seconds: float = 300.0
    no_workers_seconds: float = 300.0
    waits_for_workers: bool = False
    slice_seconds: float = 3600.0
    most_wanted: int = 10_000
    kept_records: int = 1000
    suspect_crashes: int = 2
    failed_share: float = 0.1
    failed_least: int = 20
    alike_failures: int = 3
    hold_seconds: float = 30.0
    hold_cap_seconds: float = 300.0

    def is_spent(
        self, reason: Reason, failures: int, *, is_shared: bool = False, is_mistake: bool = False
    ) -> bool:
        """Return whether this many failures for a reason use up its budget.

        is_shared: by several workers. The more there are, the sooner one dies for a reason of its own.
        is_mistake: the code is wrong, and fails alike on any worker that has what it imports.
        """
        if is_mistake:
            return failures >= self.mistake_tries
        if is_shared and reason is Reason.WORKER_DIED:
            reason = Reason.WORKER_LOST
        return failures >= self.tries[reason]

    def delay(self, reason: Reason, failures: int) -> float:
        """Return the seconds to wait before a retry after this many failures for the reason."""
        if reason in _IMMEDIATE:
            return 0.0
        return float(min(self.backoff_seconds * 2 ** (failures - 1), self.backoff_cap_seconds))

    def is_suspect(self, crashes: int) -> bool:
        """Return whether a unit may have killed farms, after this many in a row died while it ran."""
        return crashes >= self.suspect_crashes

    def is_broken(self, failed: int, total: int) -> bool:
        """Return whether a job fails with this many of its rendering units quarantined."""
        return failed >= max(self.failed_least, self.failed_share * total)

    def is_broken_plugin(self, failed: int) -> bool:
        """Return whether a job fails whose first units, this many, failed with one error of its plugin."""
        return failed >= self.alike_failures

    def hold_delay(self, failures: int) -> float:
        """Return the seconds until a job that waits for storage tries again."""
        return float(min(self.hold_seconds * 2 ** (failures - 1), self.hold_cap_seconds))

    def is_blocked(self, failures: int) -> bool:
        """Return whether this many consecutive failures block a worker from a job for a while."""
        return failures >= self.blocklist_failures


def serves(*, is_finisher: bool, role: Role, has_finishers: bool) -> bool:
    """Return whether a worker may run units of this role.

    has_finishers: any worker of kind finish exists. Rendering workers run finishing units only if
    none does.
    """
    if role is Role.RENDER:
        return not is_finisher
    return is_finisher or not has_finishers


def is_same_device(job: str, worker: str) -> bool:
    """Return whether a worker may render units of a job. Empty: not known, which suits every one."""
    return not job or not worker or job == worker


def allowed(workers: Collection[str], blocked: Collection[str]) -> frozenset[str]:
    """Return the workers that are not blocked, or all of them if every one is."""
    return frozenset(workers) - frozenset(blocked) or frozenset(workers)


def may_try(worker: str, tried_on: Collection[str], pool: Collection[str]) -> bool:
    """Return whether a worker may run a unit; workers that failed it wait until all have."""
    return worker not in tried_on or all(other in tried_on for other in pool)


def job_order(
    priority: int, owner_held: int, held: int, since: float
) -> tuple[int, int, int, float]:
    """Return a job's sort key: highest priority, then fewest workers held, then queued longest.

    owner_held: workers that all jobs of its owner hold, which count before those of the job.
    """
    return -priority, owner_held, held, since


def gang_size(wanted: int, on_device: int, joined: int, room: int) -> int:
    """Return how many workers a shared unit gets that wants this many; 0 if they are too few.

    on_device: workers that share its device. joined: rendering workers in all. room: how many the
    executor has room for. A unit for all workers waits until all have joined.
    """
    if wanted == ALL_WORKERS:
        return on_device if joined >= room else 0
    return wanted if wanted <= min(on_device, room) else 0
