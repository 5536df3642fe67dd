"""Which kind of device each job is rendered on, and which jobs lack a worker that has it.

A job belongs to the device of the worker that takes its first rendering unit, because another kind
of device would compute slightly different pictures.
"""

from collections.abc import Callable, Iterator
from typing import Final

from farm.model.events import Notice
from farm.model.job import Wanted
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import is_same_device
from farm.scheduling.workers import Worker, Workers

_NO_JOBS: Final[dict[str, ScheduledJob]] = {}


class Devices:
    """The jobs that have not ended, by device; those without one are listed under an empty name."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[str, ScheduledJob]] = {}
        self._lacking_since: dict[str, float] = {}

    def add(self, job: ScheduledJob) -> None:
        self._jobs.setdefault(job.job.device, {})[job.job.id] = job

    def remove(self, job: ScheduledJob) -> None:
        of_device = self._jobs[job.job.device]
        del of_device[job.job.id]
        if not of_device:
            del self._jobs[job.job.device]

    def notices_for_job(self, job: ScheduledJob, workers: Workers) -> Iterator[Notice]:
        """Yield a notice for each device whose workers get no units of a job."""
        for worker in workers.one_per_device():
            if not is_same_device(job.job.device, worker.device):
                yield _notice(job, worker)

    def notices_for_worker(self, worker: Worker) -> Iterator[Notice]:
        """Yield a notice for each job that gives no units to the first worker with its device."""
        for device, jobs in self._jobs.items():
            if not is_same_device(device, worker.device):
                yield from (_notice(job, worker) for job in jobs.values())

    def lacking(
        self, has_renderer: Callable[[str], bool], seconds: float, now: float
    ) -> list[ScheduledJob]:
        """Return the jobs that want to run and have had no rendering worker for this long."""
        lacking: list[ScheduledJob] = []
        for device in self._jobs.keys() | self._lacking_since.keys():
            jobs = [] if has_renderer(device) else self._wanting(device)
            if not jobs:
                self._lacking_since.pop(device, None)
            elif now - self._lacking_since.setdefault(device, now) >= seconds:
                lacking += jobs
        return lacking

    def _wanting(self, device: str) -> list[ScheduledJob]:
        jobs = self._jobs.get(device, _NO_JOBS).values()
        return [job for job in jobs if job.job.wanted is Wanted.RUN and not job.given_up]

    def that_lack(self, device: str) -> list[ScheduledJob]:
        """Return the jobs whose units a worker with this device may render, and that wait for one."""
        suiting = (jobs for own, jobs in self._jobs.items() if is_same_device(own, device))
        return [job for jobs in suiting for job in jobs.values() if job.lacks_workers]

    def problems(self, live: dict[str, ScheduledJob]) -> Iterator[str]:
        """Yield an inconsistency if these are not the jobs that have not ended."""
        listed = {job: device for device, jobs in self._jobs.items() for job in jobs}
        if listed != {name: job.job.device for name, job in live.items()}:
            yield "the jobs of each device are not those that have not ended"


def _notice(job: ScheduledJob, worker: Worker) -> Notice:
    note = (
        f"worker {worker.name} computes on {worker.device}, but job {job.job.id} began on "
        f"{job.job.device}; it gets no units of this job"
    )
    return Notice(job.job.spec.output, note)
