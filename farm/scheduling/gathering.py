"""How workers of one device are gathered for a unit that several share.

On each device, workers are set aside for one shared unit at a time: the first in the order of jobs
that the device has workers enough for. Workers that have nothing else to do always are. Once the unit
comes before every other unit that could run, its gathering *begins*: from then on it gets every worker
that becomes free, unless a job of higher priority can use it. So it waits at most for the units
that run by then.

Two things keep a gathering from beginning, so that workers are not set aside in vain and other units are not
kept waiting for ever. The device must have workers enough beside those of other shared units and of
runs, which may last for hours; no smaller shared unit goes past this one meanwhile. And what earlier
shared units took while others of their priority waited must have been paid back (see Debt).
"""

from dataclasses import dataclass, field

from farm.scheduling.jobs import Place, ScheduledJob
from farm.scheduling.workers import Group, Lease

Limit = Place | tuple[int]
"""Only jobs whose place is before this one get a worker. The negative of a priority stands before all
places of that priority."""


@dataclass
class Debt:
    """What the shared units of one priority owe to other units of this priority on one device.

    When one ends while others wait, it owes the worker-seconds that it used, those during which its workers
    were set aside included. Units on single workers pay them back by running, also while it runs.
    Thus both kinds get about the same, if both want more. seconds: negative if they are ahead. running: number
    of shared units.
    """

    seconds: float = 0.0
    running: int = 0


@dataclass(eq=False)
class Gathering:
    """The shared unit that the workers of one device are set aside for.

    job: whose first shared unit it is. need: workers that it gets. excluded: those that it is not to
    get, since they failed it before or their job blocks them. lasting: workers held by units that
    may last for long.
    """

    group: Group
    job: ScheduledJob | None = None
    need: int = 0
    excluded: frozenset[str] = frozenset()
    has_begun: bool = False
    lasting: int = 0
    debts: dict[int, Debt] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return self.job is not None and len(self.group.aside) >= self.need

    def limit(self) -> Limit | None:
        """Return which jobs get the next free worker; None if all do before the gathering."""
        if self.job is None:
            return None
        priority = self.job.job.spec.priority
        if self.has_begun:
            return (-priority,)
        is_possible = self.need <= len(self.group.members) - self.lasting
        debt = self.debts.get(priority)
        return self.job.order if is_possible and (debt is None or debt.seconds <= 0) else None

    def aim(self, job: ScheduledJob | None, need: int, excluded: frozenset[str]) -> None:
        """Gather for a job from now on."""
        if job is not self.job:
            self.has_begun = False
        self.job, self.need, self.excluded = job, need, excluded

    def note_lease(self, lease: Lease) -> None:
        """Note that workers of the device hold a unit."""
        if lease.may_last:
            self.lasting += len(lease.workers)
        if lease.is_shared:
            self.job, self.has_begun = None, False
            self.debts.setdefault(lease.priority, Debt()).running += 1

    def note_request_to_stop(self, lease: Lease) -> None:
        """Note that workers are about to become free."""
        if lease.may_last:
            self.lasting -= len(lease.workers)

    def note_end(self, lease: Lease, now: float, cap: float, *, others_wait: bool) -> None:
        """Note the end of a lease. cap: seconds per worker that can be owed.

        others_wait: units on single workers of its priority wait.
        """
        if lease.may_last:
            self.lasting -= len(lease.workers)
        debt = self.debts.get(lease.priority)
        if debt is None:
            return
        seconds = len(lease.workers) * (now - lease.begun) + lease.set_aside
        if lease.is_shared:
            debt.running -= 1
            debt.seconds += seconds if others_wait else 0.0
        else:
            debt.seconds -= seconds
        most = cap * len(self.group.members)
        debt.seconds = max(-most, min(debt.seconds, most))
        if not debt.running and debt.seconds <= 0:
            del self.debts[lease.priority]
