"""The scheduler's records of workers: their leases, and the jobs they are blocked from."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from farm.model.messages import WorkerKind
from farm.scheduling.jobs import ScheduledJob, UnitEntry
from farm.scheduling.policy import Policy


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

    def is_overdue(self, policy: Policy, now: float) -> bool:
        """Return whether the worker has sent no report, or ignored a request to stop, too long."""
        asked = self.asked_to_stop
        return now - self.last_report >= policy.silence_seconds or (
            asked is not None and now - asked >= policy.cancel_seconds
        )


@dataclass
class Worker:
    """A worker and its lease. is_being_killed: it gets no more units."""

    name: str
    kind: WorkerKind
    lease: Lease | None = None
    is_being_killed: bool = False


class Blocklist:
    """Counts each worker's consecutive failures per job and blocks it from jobs it keeps failing.

    Only failures that another worker might avoid count.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def add_failure(self, job: str, worker: str, now: float) -> None:
        count, _ = self._failures.get((job, worker), (0, 0.0))
        self._failures[job, worker] = count + 1, now

    def clear(self, job: str, worker: str) -> None:
        """Reset a worker's count for one job, after a success."""
        self._failures.pop((job, worker), None)

    def forget(self, worker: str) -> None:
        """Drop everything known about a worker that is gone."""
        for key in [key for key in self._failures if key[1] == worker]:
            del self._failures[key]

    def blocked(self, job: str, now: float) -> list[str]:
        """Return the workers that are blocked from a job."""
        return [
            worker
            for (failed_job, worker), (count, last) in self._failures.items()
            if failed_job == job and self._policy.is_blocked(count, now - last)
        ]

    def problems(self, workers: Collection[str]) -> Iterator[str]:
        """Yield an inconsistency for each blocklisted worker that is not among workers."""
        for worker in {worker for _, worker in self._failures} - set(workers):
            yield f"the blocklist names {worker}, which does not exist"
