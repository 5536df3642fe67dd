"""Which workers get no units of a job for a while, because they keep failing it."""

from collections.abc import Container, Iterator

from farm.scheduling.policy import Policy


class Blocklist:
    """Counts each worker's consecutive failures per job and blocks it from jobs it keeps failing.

    Only failures that another worker might avoid count.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._failures: dict[str, dict[str, int]] = {}
        self._until: dict[str, dict[str, float]] = {}
        self._jobs_of: dict[str, set[str]] = {}

    def add_failure(self, job: str, worker: str, now: float) -> bool:
        """Count a failure; return whether it is the first of those in a row that blocks the worker."""
        of_job = self._failures.setdefault(job, {})
        of_job[worker] = of_job.get(worker, 0) + 1
        self._jobs_of.setdefault(worker, set()).add(job)
        if self._policy.is_blocked(of_job[worker]):
            self._until.setdefault(job, {})[worker] = now + self._policy.forgive_seconds
            return not self._policy.is_blocked(of_job[worker] - 1)
        return False

    def clear(self, job: str, worker: str) -> None:
        """Reset a worker's count for one job, after a success."""
        if worker in self._jobs_of and job in self._jobs_of[worker]:
            self._jobs_of[worker].remove(job)
            self._drop(job, worker)
            if not self._jobs_of[worker]:
                del self._jobs_of[worker]

    def forget_worker(self, worker: str) -> None:
        """Drop everything known about a worker that is gone."""
        for job in self._jobs_of.pop(worker, ()):
            self._drop(job, worker)

    def _drop(self, job: str, worker: str) -> None:
        for table in (self._failures, self._until):
            of_job = table.get(job)
            if of_job and of_job.pop(worker, None) is not None and not of_job:
                del table[job]

    def forget_job(self, job: str) -> None:
        """Drop everything known about a job that has ended."""
        self._until.pop(job, None)
        for worker in self._failures.pop(job, ()):
            self._jobs_of[worker].remove(job)
            if not self._jobs_of[worker]:
                del self._jobs_of[worker]

    def is_blocked(self, job: str, worker: str, now: float) -> bool:
        """Return whether a worker is blocked from a job."""
        of_job = self._until.get(job)
        return of_job is not None and now < of_job.get(worker, now)

    def blocked(self, job: str, now: float) -> list[str]:
        """Return the workers that are blocked from a job."""
        return [worker for worker, until in self._until.get(job, {}).items() if now < until]

    def next_end(self, job: str, now: float) -> float | None:
        """Return when the next worker is no longer blocked from a job, in Unix seconds."""
        ends = (until for until in self._until.get(job, {}).values() if now < until)
        return min(ends, default=None)

    def problems(self, jobs: Container[str], workers: Container[str]) -> Iterator[str]:
        """Yield an inconsistency for each listed job or worker that does not exist."""
        for job, of_job in self._failures.items():
            if job not in jobs:
                yield f"the blocklist names {job}, which has ended"
            for worker in of_job:
                if worker not in workers:
                    yield f"the blocklist names {worker}, which does not exist"
                if job not in self._jobs_of.get(worker, ()):
                    yield f"the blocklist does not know that {worker} failed {job}"
        if not self._until.keys() <= self._failures.keys():
            yield "the blocklist blocks a worker that has not failed"
