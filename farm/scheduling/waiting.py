"""What a job waits for, in words for its user."""

from typing import Final

from farm.model.job import Wanted
from farm.model.unit import UnitState
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.state import SchedulerState
from farm.scheduling.units import Lane

S = UnitState

PAUSED: Final = "paused by its user; resume it to go on"


def waits_for(state: SchedulerState, job: ScheduledJob, now: float) -> str:
    """Return why no worker holds a unit of a job; empty if one does, or if the job is ending. For any thread.

    Also while workers hold some, if the user or the storage lets no more start.
    """
    if job.is_ending:
        return ""
    if job.job.wanted is Wanted.PAUSE:
        first = f"; what {_count(job.held, 'worker')} began is finished first" if job.held else ""
        return f"{PAUSED}{first}"
    if hold := job.hold:
        return hold.reason
    if job.held:
        return ""
    return job.lack or _retry(job, now) or _workers(state, job)


def _retry(job: ScheduledJob, now: float) -> str:
    waiting, due = job.counts[S.RETRY_WAIT], job.queues.next_due()
    if job.counts[S.READY] or not waiting or not due:
        return ""
    return f"tries {_count(waiting, 'unit')} again in {max(0.0, due - now):.0f} s"


def _workers(state: SchedulerState, job: ScheduledJob) -> str:
    """Return what the workers of the farm lack, or do instead."""
    workers = state.workers
    if job.can_start(Lane.FINISH) and workers.finishing:
        return "the workers that finish films are busy"
    if not workers.rendering:
        room = state.placement.gatherings.room
        return f"no workers have joined yet; the farm has room for {room or 'none'}"
    if not workers.has_renderer(job.job.device):
        has = ", ".join(sorted(workers.devices()))
        return f"no worker has the device of its first frames, {job.job.device}; the farm has {has}"
    if workers.busy_rendering < workers.rendering:
        gathered = job.first_shared()
        wanted = gathered.unit.workers or "all" if gathered else 0
        return f"gathers {wanted} workers" if wanted else "is about to start"
    busy = (
        f"all {workers.rendering:,} workers are" if workers.rendering > 1 else "the only worker is"
    )
    return f"{busy} busy{_before(state, job)}"


def _before(state: SchedulerState, job: ScheduledJob) -> str:
    own = job.job.spec.priority
    jobs = list(state.jobs.values())
    before = sum(one.job.spec.priority > own and one.job.wanted is Wanted.RUN for one in jobs)
    return f"; {_count(before, 'job')} of higher priority before it" if before else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
