"""Which workers get no units of a job for a while, because they keep failing it."""

from collections.abc import Container, Iterator

from farm.scheduling.policy import Policy


class Blocklist:
    """Counts each worker's consecutive failures per job and blocks it from jobs it keeps failing.

    Only failures that another worker might avoid count.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._failures: dict[str, dict[str, tuple[int, float]]] = {}

    def add_failure(self, job: str, worker: str, now: float) -> None:
        of_job = self._failures.setdefault(job, {})
        count, _ = of_job.get(worker, (0, 0.0))
        of_job[worker] = count + 1, now + self._policy.forgive_seconds

    def clear(self, job: str, worker: str) -> None:
        """Reset a worker's count for one job, after a success."""
        of_job = self._failures.get(job)
        if of_job and of_job.pop(worker, None) and not of_job:
            del self._failures[job]

    def forget_worker(self, worker: str) -> None:
        """Drop everything known about a worker that is gone."""
        for job in [job for job, workers in self._failures.items() if worker in workers]:
            self.clear(job, worker)

    def forget_job(self, job: str) -> None:
        """Drop everything known about a job that has ended."""
        self._failures.pop(job, None)

    def blocked(self, job: str, now: float) -> list[str]:
        """Return the workers that are blocked from a job."""
        return [
            worker
            for worker, (count, until) in self._failures.get(job, {}).items()
            if self._policy.is_blocked(count) and now < until
        ]

    def next_end(self, job: str, now: float) -> float | None:
        """Return when the next worker is no longer blocked from a job, in Unix seconds."""
        of_job, blocked = self._failures.get(job, {}), self.blocked(job, now)
        return min((of_job[worker][1] for worker in blocked), default=None)

    def problems(self, jobs: Container[str], workers: Container[str]) -> Iterator[str]:
        """Yield an inconsistency for each listed job or worker that does not exist."""
        for job, of_job in self._failures.items():
            if job not in jobs:
                yield f"the blocklist names {job}, which has ended"
            for worker in of_job:
                if worker not in workers:
                    yield f"the blocklist names {worker}, which does not exist"
