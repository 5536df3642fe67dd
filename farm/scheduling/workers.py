"""The scheduler's records of workers and their leases, indexed by what it asks for."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from farm.model.messages import WorkerKind
from farm.model.unit import Role
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import Policy, is_same_device, serves
from farm.scheduling.units import UnitEntry

_FINISHER: Final = "finish"


@dataclass
class Lease:
    """A worker's hold on a unit.

    token: every report must name it. last_report, asked_to_stop: Unix seconds.
    """

    job: ScheduledJob
    entry: UnitEntry
    token: str
    last_report: float
    asked_to_stop: float | None = None

    def deadline(self, policy: Policy) -> float:
        """Return when the worker has sent no report, or ignored a request to stop, for too long."""
        silent = self.last_report + policy.silence_seconds
        if self.asked_to_stop is None:
            return silent
        return min(silent, self.asked_to_stop + policy.cancel_seconds)


@dataclass
class Worker:
    """A worker and its lease.

    is_being_killed: it gets no more units. next_check: when its lease is checked, in Unix seconds.
    """

    name: str
    kind: WorkerKind
    device: str = ""
    lease: Lease | None = None
    is_being_killed: bool = False
    next_check: float | None = None

    @property
    def is_finisher(self) -> bool:
        return self.kind == _FINISHER

    @property
    def group(self) -> tuple[bool, str]:
        """What decides which jobs it may work for: whether it only finishes, and its device."""
        return self.is_finisher, self.device


class Workers:
    """Every worker.

    rendering, busy_rendering: number of those that render, and of those that hold a unit. idle:
    number of those that wait for one.
    """

    def __init__(self) -> None:
        self.rendering = self.busy_rendering = self.idle = 0
        self._all: dict[str, Worker] = {}
        self._groups: dict[tuple[bool, str], dict[str, Worker]] = {}
        self._idle: dict[tuple[bool, str], dict[str, Worker]] = {}
        self._of_job: dict[str, dict[str, Worker]] = {}

    def __contains__(self, worker: object) -> bool:
        return worker in self._all

    def get(self, worker: str) -> Worker | None:
        return self._all.get(worker)

    def add(self, worker: Worker) -> None:
        self._all[worker.name] = worker
        self._groups.setdefault(worker.group, {})[worker.name] = worker
        self.rendering += not worker.is_finisher
        self._add_idle(worker)

    def remove(self, worker: Worker) -> None:
        """Forget a worker. Its lease, if it has one, stays for the caller to end."""
        del self._all[worker.name]
        del self._groups[worker.group][worker.name]
        self.rendering -= not worker.is_finisher
        if self._idle[worker.group].pop(worker.name, None):
            self.idle -= 1
        if worker.lease:
            self._end_lease(worker, worker.lease)

    def occupy(self, worker: Worker, lease: Lease) -> None:
        """Give an idle worker a lease."""
        del self._idle[worker.group][worker.name]
        self.idle -= 1
        worker.lease = lease
        self.busy_rendering += not worker.is_finisher
        self._of_job.setdefault(lease.job.job.id, {})[worker.name] = worker

    def free(self, worker: Worker) -> None:
        """End a worker's lease; it is idle, unless it is being killed."""
        assert worker.lease
        self._end_lease(worker, worker.lease)
        worker.lease = None
        if not worker.is_being_killed:
            self._add_idle(worker)

    def _add_idle(self, worker: Worker) -> None:
        self._idle.setdefault(worker.group, {})[worker.name] = worker
        self.idle += 1

    def _end_lease(self, worker: Worker, lease: Lease) -> None:
        self.busy_rendering -= not worker.is_finisher
        job = lease.job.job.id
        del self._of_job[job][worker.name]
        if not self._of_job[job]:
            del self._of_job[job]

    def busy(self) -> list[Worker]:
        """Return the workers that hold a unit."""
        return [worker for worker in list(self._all.values()) if worker.lease]

    def of_job(self, job: str) -> list[Worker]:
        """Return the workers that hold a unit of a job."""
        return list(self._of_job.get(job, {}).values())

    def idle_groups(self) -> Iterator[dict[str, Worker]]:
        """Yield the idle workers of each group, those that have been idle longest first."""
        return (group for group in list(self._idle.values()) if group)

    def one_per_device(self) -> list[Worker]:
        """Return one rendering worker with each device."""
        groups = self._groups.items()
        return [
            next(iter(group.values()))
            for (is_finisher, _), group in groups
            if group and not is_finisher
        ]

    def is_idle(self, worker: Worker) -> bool:
        """Return whether a worker is waiting for a unit."""
        return worker.name in self._idle.get(worker.group, ())

    def is_first_with_its_device(self, worker: Worker) -> bool:
        return not worker.is_finisher and len(self._groups[worker.group]) == 1

    def may_serve(self, worker: Worker, role: Role) -> bool:
        """Return whether a worker may run units of this role, of some job."""
        return serves(
            is_finisher=worker.is_finisher, role=role, has_finishers=self._has_finishers()
        )

    def serving(self, role: Role, device: str) -> list[str]:
        """Return the workers that may run units of this role, of jobs on this device."""
        return [
            worker.name
            for worker in self._all.values()
            if self.may_serve(worker, role)
            and (role is Role.FINISH or is_same_device(device, worker.device))
        ]

    def has_renderer(self, device: str) -> bool:
        """Return whether a worker renders the units of jobs on this device."""
        return any(
            group and not is_finisher and is_same_device(device, own)
            for (is_finisher, own), group in self._groups.items()
        )

    def _has_finishers(self) -> bool:
        return any(group and is_finisher for (is_finisher, _), group in self._groups.items())

    def problems(self) -> Iterator[str]:
        """Yield every inconsistency between the workers and what is known of them."""
        workers = list(self._all.values())
        leased = [worker for worker in workers if worker.lease]
        if len({worker.lease.token for worker in leased if worker.lease}) != len(leased):
            yield "two leases share a token"
        idle = {name for group in self._idle.values() for name in group}
        if idle != {w.name for w in workers if not w.lease and not w.is_being_killed}:
            yield "an idle worker is missing, or a busy one is listed as idle"
        if self.idle != len(idle):
            yield "the idle workers are miscounted"
        grouped = [(worker.group, worker.name) for worker in workers]
        listed = [(group, name) for group, members in self._groups.items() for name in members]
        if sorted(grouped) != sorted(listed):
            yield "a worker is missing from its group"
        if {name for job in self._of_job.values() for name in job} != {w.name for w in leased}:
            yield "the workers that hold units of jobs are not those that have a lease"
        rendering = [worker for worker in workers if not worker.is_finisher]
        counts = len(rendering), sum(1 for worker in rendering if worker.lease)
        if (self.rendering, self.busy_rendering) != counts:
            yield "the rendering workers are miscounted"
