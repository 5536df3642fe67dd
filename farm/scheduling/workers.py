"""The scheduler's records of workers and their leases, indexed by what it asks for."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from farm.model.messages import WorkerJoined, WorkerKind
from farm.model.unit import Role
from farm.model.work import Train
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import Policy, is_same_device, serves
from farm.scheduling.units import Lane, UnitEntry

_FINISHER: Final = "finish"


@dataclass(eq=False, slots=True)
class Lease:
    """The hold of one worker, or of several that share it, on a unit.

    workers: the first one, the lead, reports. token: every report must name it. begun, last_report,
    asked_to_stop: Unix seconds. priority: of the job when it began. set_aside: worker-seconds that the workers
    were set aside for it. gives_way: it was asked to stop because others have waited for long.
    step: that a run has reached. is_run: it can stop at any time and lose nothing, since a run resumes
    where it stopped.
    """

    job: ScheduledJob
    entry: UnitEntry
    token: str
    workers: tuple["Worker", ...]
    begun: float
    last_report: float
    priority: int
    set_aside: float = 0.0
    asked_to_stop: float | None = None
    gives_way: bool = False
    step: int = 0

    lead: "Worker" = field(init=False)
    is_shared: bool = field(init=False)
    is_run: bool = field(init=False)

    def __post_init__(self) -> None:
        self.lead = self.workers[0]
        self.is_shared = self.entry.lane is Lane.SHARED
        self.is_run = isinstance(self.entry.unit.work, Train)

    @property
    def may_last(self) -> bool:
        """Whether nobody can count on the workers soon."""
        return (self.is_shared or self.is_run) and self.asked_to_stop is None

    def deadline(self, policy: Policy) -> float:
        """Return when the lead has sent no report, or ignored a request to stop, for too long."""
        silent = self.last_report + policy.silence_seconds
        if self.asked_to_stop is None:
            return silent
        return min(silent, self.asked_to_stop + policy.cancel_seconds)


@dataclass(eq=False, slots=True)
class Worker:
    """A worker and its lease.

    joined: what it said of itself. last_sign: when its process last answered. aside_since: when it
    was set aside for a shared unit. near: the job and the stretch of a film that it has open. is_being_killed: it gets
    no more units. next_check: when its lease is checked. Times are in Unix seconds.
    """

    name: str
    kind: WorkerKind
    device: str
    joined: WorkerJoined
    last_sign: float
    group: "Group"
    lease: Lease | None = None
    aside_since: float | None = None
    near: tuple[str, int] = ("", -1)
    is_being_killed: bool = False
    next_check: float | None = None

    def deadline(self, lease: Lease, policy: Policy, *, shows_life: bool) -> float:
        """Return when the worker is to be killed if nothing is heard of it.

        Only the lead of a lease reports; if it is killed, the attempt of all ends. shows_life: workers
        of this farm send signs of life, so each of them is judged by these as well.
        """
        silent = lease.deadline(policy) if lease.lead is self else float("inf")
        if not shows_life:
            return silent
        return min(silent, max(self.last_sign, lease.begun) + policy.lifeless_seconds)


@dataclass(eq=False, slots=True)
class Group:
    """The workers that may serve the same jobs: those that only finish, or those of one device.

    idle: those that wait for a unit. aside: those set aside for a shared unit; both by how long.
    """

    is_finisher: bool
    device: str
    members: dict[str, Worker] = field(default_factory=dict)
    idle: dict[str, Worker] = field(default_factory=dict)
    aside: dict[str, Worker] = field(default_factory=dict)

    def suits(self, device: str) -> bool:
        """Return whether its workers render units of jobs on this device."""
        return not self.is_finisher and is_same_device(device, self.device)


class Workers:
    """Every worker.

    rendering, busy_rendering: number of those that render, and of those that hold a unit. free:
    number of those that wait for one or are set aside.
    """

    def __init__(self) -> None:
        self.rendering = self.busy_rendering = self.free = self.finishing = 0
        self._all: dict[str, Worker] = {}
        self._groups: dict[tuple[bool, str], Group] = {}
        self._leases: dict[str, dict[str, Lease]] = {}

    def __contains__(self, worker: object) -> bool:
        return worker in self._all

    def get(self, worker: str) -> Worker | None:
        return self._all.get(worker)

    def all(self) -> list[Worker]:
        return list(self._all.values())

    def groups(self) -> list[Group]:
        return list(self._groups.values())

    def add(self, joined: WorkerJoined, now: float) -> Worker:
        """Add a worker, which is idle."""
        key = joined.kind == _FINISHER, joined.device
        group = self._groups.setdefault(key, Group(*key))
        worker = Worker(joined.worker, joined.kind, joined.device, joined, now, group)
        self._all[worker.name] = group.members[worker.name] = worker
        self.rendering += not group.is_finisher
        self.finishing += group.is_finisher
        self._add_idle(worker)
        return worker

    def remove(self, worker: Worker) -> None:
        """Forget a worker. Its lease, if it has one, stays for the caller to end."""
        group = worker.group
        del self._all[worker.name]
        del group.members[worker.name]
        self.rendering -= not group.is_finisher
        self.finishing -= group.is_finisher
        if worker.lease:
            self.busy_rendering -= not group.is_finisher
        self._take_out(worker)

    def occupy(self, lease: Lease) -> None:
        """Give a lease to its workers, which are idle or set aside."""
        for worker in lease.workers:
            self._take_out(worker)
            worker.lease = lease
            worker.aside_since = None
            self.busy_rendering += not worker.group.is_finisher
        self._leases.setdefault(lease.job.job.id, {})[lease.token] = lease

    def end(self, lease: Lease) -> list[Worker]:
        """End a lease. Its workers that are still here are idle, unless they are being killed.

        Returns those that are still here.
        """
        of_job = self._leases[lease.job.job.id]
        del of_job[lease.token]
        if not of_job:
            del self._leases[lease.job.job.id]
        here = [worker for worker in lease.workers if self._all.get(worker.name) is worker]
        for worker in lease.workers:
            worker.lease = None
        for worker in here:
            self.busy_rendering -= not worker.group.is_finisher
            if not worker.is_being_killed:
                self._add_idle(worker)
        return here

    def set_aside(self, worker: Worker, now: float) -> None:
        """Set an idle worker aside."""
        del worker.group.idle[worker.name]
        worker.group.aside[worker.name] = worker
        worker.aside_since = now

    def release(self, worker: Worker) -> None:
        """Let a worker that was set aside be idle again."""
        del worker.group.aside[worker.name]
        worker.group.idle[worker.name] = worker
        worker.aside_since = None

    def _add_idle(self, worker: Worker) -> None:
        worker.group.idle[worker.name] = worker
        self.free += 1

    def _take_out(self, worker: Worker) -> None:
        group = worker.group
        if group.idle.pop(worker.name, None) or group.aside.pop(worker.name, None):
            self.free -= 1

    def leases(self) -> list[Lease]:
        """Return every lease."""
        return [lease for of_job in list(self._leases.values()) for lease in list(of_job.values())]

    def leases_of(self, job: str) -> list[Lease]:
        """Return the leases on units of a job."""
        return list(self._leases.get(job, {}).values())

    def devices(self) -> set[str]:
        """Return the devices of the rendering workers, for any thread."""
        return {g.device for g in self.groups() if g.members and not g.is_finisher}

    def one_per_device(self) -> list[Worker]:
        """Return one rendering worker with each device."""
        groups = (g for g in self._groups.values() if g.members and not g.is_finisher)
        return [next(iter(group.members.values())) for group in groups]

    def is_idle(self, worker: Worker) -> bool:
        """Return whether a worker is waiting for a unit."""
        return worker.group.idle.get(worker.name) is worker

    def is_first_with_its_device(self, worker: Worker) -> bool:
        return not worker.group.is_finisher and len(worker.group.members) == 1

    def may_serve(self, group: Group, role: Role) -> bool:
        """Return whether the workers of a group may run units of this role, of some job."""
        has_finishers = self.finishing > 0
        return serves(is_finisher=group.is_finisher, role=role, has_finishers=has_finishers)

    def serving(self, lane: Lane, device: str) -> list[Group]:
        """Return the groups whose workers may run units of a lane, of jobs on this device."""
        role = Role.FINISH if lane is Lane.FINISH else Role.RENDER
        return [
            group
            for group in self._groups.values()
            if group.members
            and self.may_serve(group, role)
            and (role is Role.FINISH or group.suits(device))
        ]

    def has_renderer(self, device: str) -> bool:
        """Return whether a worker renders the units of jobs on this device, for any thread."""
        return any(group.members and group.suits(device) for group in self.groups())

    def problems(self) -> Iterator[str]:
        """Yield every inconsistency between the workers and what is known of them."""
        workers = self.all()
        leases = self.leases()
        if len({lease.token for lease in leases}) != len(leases):
            yield "two leases share a token"
        holders = {worker.name: lease for lease in leases for worker in lease.workers}
        if holders != {worker.name: worker.lease for worker in workers if worker.lease}:
            yield "the workers of the leases are not those that have one"
        free = {n: w for g in self._groups.values() for n, w in (*g.idle.items(), *g.aside.items())}
        if free != {w.name: w for w in workers if not w.lease and not w.is_being_killed}:
            yield "an idle worker is missing, or a busy one is listed as idle"
        if self.free != sum(len(g.idle) + len(g.aside) for g in self._groups.values()):
            yield "the idle workers are miscounted"
        aside = {name for group in self._groups.values() for name in group.aside}
        if aside != {w.name for w in workers if w.aside_since is not None}:
            yield "a worker is set aside and does not know it"
        members = {name: w for g in self._groups.values() for name, w in g.members.items()}
        if members != {worker.name: worker for worker in workers}:
            yield "a worker is missing from its group"
        rendering = [worker for worker in workers if not worker.group.is_finisher]
        counts = len(rendering), sum(1 for worker in rendering if worker.lease)
        if (self.rendering, self.busy_rendering) != counts:
            yield "the rendering workers are miscounted"
        if self.finishing != len(workers) - len(rendering):
            yield "the finishing workers are miscounted"
