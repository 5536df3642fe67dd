"""Which jobs wait for others to complete, and what they are waiting for in words."""

from collections.abc import Iterator, Mapping

from farm.model.job import JobState
from farm.scheduling.jobs import ScheduledJob

_ENDS = {JobState.FAILED: "failed", JobState.CANCELLED: "was cancelled"}
"""Ends after which the jobs that wait go on waiting: the user may want the job tried again."""


class Succession:
    """The jobs that wait for each job. jobs: those that have not ended, by id."""

    def __init__(self, jobs: Mapping[str, ScheduledJob]) -> None:
        self._jobs = jobs
        self._waiting: dict[str, set[str]] = {}

    def enter(self, job: ScheduledJob, states: Mapping[str, JobState | None]) -> None:
        """Let a new job wait for those that have not completed.

        states: of the jobs that it names; None for one that is not known here.
        """
        for name, state in states.items():
            if state is None or not _is_completed(state):
                job.awaited[name] = state
                self._waiting.setdefault(name, set()).add(job.job.id)
        job.delay = describe(job.awaited)

    def note(self, name: str, state: JobState) -> list[ScheduledJob]:
        """Note the state of a job, and return the jobs that wait for it, or did until now."""
        waiting = [self._jobs[one] for one in sorted(self._waiting.get(name, ()))]
        for job in waiting:
            if _is_completed(state):
                del job.awaited[name]
            else:
                job.awaited[name] = state
            job.delay = describe(job.awaited)
        if _is_completed(state):
            self._waiting.pop(name, None)
        return waiting

    def leave(self, job: ScheduledJob) -> None:
        """Note that a job has ended, perhaps while it waited."""
        for name in job.awaited:
            self._waiting[name].discard(job.job.id)
            if not self._waiting[name]:
                del self._waiting[name]

    def awaited(self) -> list[str]:
        """Return the jobs that others wait for."""
        return list(self._waiting)

    def problems(self) -> Iterator[str]:
        """Yield an inconsistency if these are not the jobs that wait."""
        pairs = {(name, job) for name, jobs in self._waiting.items() for job in jobs}
        if pairs != {(name, job.job.id) for job in self._jobs.values() for name in job.awaited}:
            yield "the jobs that wait for others are not those that say so"


def _is_completed(state: JobState) -> bool:
    return state.is_final and state not in _ENDS


def describe(awaited: Mapping[str, JobState | None]) -> str:
    """Return what a job waits for; empty if it waits for no other."""
    for name, state in awaited.items():
        if state in _ENDS:
            return f"waits for job {name}, which {_ENDS[state]}; retry it, or cancel this job"
    first = next(iter(awaited), "")
    others = len(awaited) - 1
    if others > 0:
        return f"waits for job {first} and {others} other{'s' if others > 1 else ''}"
    return f"waits for job {first}" if first else ""
