"""What the end of an attempt means for its unit, its job and its worker."""

from dataclasses import replace
from typing import Final

from farm.model.events import UnitAdvanced
from farm.model.job import Wanted
from farm.model.messages import (
    Failure,
    Figures,
    Hold,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitSucceeded,
)
from farm.model.unit import UnitState
from farm.scheduling import cut_off
from farm.scheduling.holds import hold_after
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.state import SchedulerState
from farm.scheduling.units import Lane, UnitEntry
from farm.scheduling.workers import Lease, Worker

S = UnitState

_MOST_HELD_ALONE: Final = 5
"""How often a unit waits for a storage that other units use meanwhile, or a job for a file whose storage
answers otherwise. After that, the unit fails."""

_ITS_OWN: Final = (
    "its storage serves other files; --resume, or `farm job ID retry` on a server, tries it again"
)


class Attempts:
    """Ends attempts: frees the workers, moves the unit and updates the job."""

    def __init__(self, state: SchedulerState) -> None:
        self._state, self._policy = state, state.policy

    def end(
        self, lease: Lease, event: UnitSucceeded | UnitFailed | UnitCancelled, now: float
    ) -> None:
        """End an attempt as the lead of its workers reports."""
        match event:
            case UnitSucceeded():
                self._succeed(lease, event.figures, now)
            case UnitFailed():
                self._fail_on(lease, event.failure, now)
            case UnitCancelled():
                self._state.free(lease, now)
                self._stop(lease, now)

    def take_back(self, worker: Worker, lease: Lease, why: str, now: float) -> None:
        """Take back the unit of a worker that is gone, and decide what that costs the unit.

        Whichever of several workers is gone, the attempt has ended, and the others are idle. If a run
        got further than ever before, its earlier failures no longer count.
        """
        self._state.free(lease, now)
        entry = lease.entry
        gave_way = lease.gives_way and not lease.job.is_ending
        if self._state.is_stopping or gave_way:
            self._stop(lease, now)
            return
        reason, message = Reason.WORKER_DIED, f"worker {worker.name} died: {why}"
        if worker.is_being_killed:
            reason, message = Reason.TIMEOUT, f"worker {worker.name} stopped responding"
        elif entry.state is S.LEASED:
            reason = Reason.WORKER_LOST
        entry.tried_on |= {worker.name}
        if lease.step > entry.furthest_step:
            entry.furthest_step, entry.failures = lease.step, ()
        self._fail(lease.job, entry, Failure(reason, message), now, worker.name)

    def quarantine_suspect(self, job: ScheduledJob, entry: UnitEntry, now: float) -> None:
        """Set a ready unit aside that was running each time when farms died."""
        reason = (
            f"{entry.crashes} farms in a row died while they ran this unit; --resume tries it again"
        )
        failure = Failure(Reason.CRASH, reason)
        job.move(entry, S.QUARANTINED, now, reason=reason, failure=failure)
        self._check_share(job, now)
        self._state.settle(job)

    def _succeed(self, lease: Lease, figures: Figures, now: float) -> None:
        job = lease.job
        job.plugin_faults.end()
        for worker in lease.workers:
            self._state.blocklist.clear(job.job.id, worker.name)
        cut_off.note_success(self._state, lease, now)
        job.move(lease.entry, S.SUCCEEDED, now, worker=lease.lead.name, figures=figures)
        job.end_hold_for_storage()
        self._state.free(lease, now)
        self._state.settle(job)

    def _fail_on(self, lease: Lease, failure: Failure, now: float) -> None:
        """Count a failure. If workers share the unit, none of them is blocked: any may be at fault."""
        job, lead = lease.job, lease.lead
        self._state.free(lease, now)
        if failure.hold is Hold.STORAGE and not failure.alone:
            cut_off.note_failure(lease)
        lease.entry.tried_on |= {worker.name for worker in lease.workers}
        is_held = failure.hold and not job.is_ending
        if is_held and not _is_its_own(job, lease.entry, failure):
            self._hold(job, lease.entry, failure, now, lead.name)
            return
        if is_held:
            message = f"{failure.message}; {_ITS_OWN}"
            failure = replace(failure, message=message, is_fatal=True)
        if not failure.is_fatal and not lease.is_shared:
            self._state.block(job, lead, now)
        self._fail(job, lease.entry, failure, now, lead.name)

    def note_progress(self, lease: Lease, progress: UnitProgress) -> None:
        """Note how far a run is. Farms that died before it had a new checkpoint no longer count."""
        training, entry = progress.training, lease.entry
        if training is None:
            return
        lease.step = training.step
        if entry.crashes and training.has_advanced:
            entry.crashes = 0
            self._state.emit(UnitAdvanced(entry.unit))

    def _stop(self, lease: Lease, now: float) -> None:
        """Cancel a unit that stopped, or make it ready again at no cost."""
        job, entry = lease.job, lease.entry
        if job.job.wanted is Wanted.CANCEL:
            job.move(entry, S.CANCELLED, now, reason="cancelled", by="user")
        elif job.given_up:
            job.move(entry, S.CANCELLED, now, reason="the job failed")
        elif lease.gives_way:
            job.move(entry, S.READY, now, reason="gave way to jobs that have waited for long")
        else:
            job.move(entry, S.READY, now, reason="stopped", by="user")
        job.drop_probe(entry)
        self._state.settle(job)

    def _hold(
        self, job: ScheduledJob, entry: UnitEntry, failure: Failure, now: float, worker: str
    ) -> None:
        """Make a unit ready at no cost, and let its job wait."""
        job.move(entry, S.READY, now, reason=failure.message, worker=worker)
        hold = hold_after(job.hold, entry, failure, self._policy, now)
        if hold is not job.hold and hold.due is not None:
            self._state.try_again_at(hold.due, job, hold)
        job.hold = hold
        self._state.settle(job)

    def _fail(
        self, job: ScheduledJob, entry: UnitEntry, failure: Failure, now: float, worker: str
    ) -> None:
        """Count a failed attempt of a unit that no worker holds; retry it later or quarantine it."""
        entry.failures += (failure.reason,)
        failures = entry.failures.count(failure.reason)
        state, reason, retry_at = S.RETRY_WAIT, failure.message, 0.0
        if job.is_ending:
            state = S.CANCELLED
        elif failure.is_fatal or self._is_spent(entry, failure, failures):
            state, reason = S.QUARANTINED, _quarantine_reason(failure, failures)
        else:
            retry_at = now + self._policy.delay(failure.reason, failures)
            self._state.wake_at(retry_at, job)
        job.move(
            entry, state, now, reason=reason, worker=worker, failure=failure, retry_at=retry_at
        )
        job.drop_probe(entry)
        if entry.renders and failure.reason is Reason.PLUGIN_ERROR and state is S.QUARANTINED:
            self._check_plugin(job, entry, failure, now)
        self._check_share(job, now)
        self._state.settle(job)

    def _is_spent(self, entry: UnitEntry, failure: Failure, failures: int) -> bool:
        is_shared = entry.lane is Lane.SHARED
        return self._policy.is_spent(
            failure.reason, failures, is_shared=is_shared, is_mistake=failure.is_mistake
        )

    def _check_plugin(
        self, job: ScheduledJob, entry: UnitEntry, failure: Failure, now: float
    ) -> None:
        """Fail a job whose first units all used up their tries with one error of its plugin."""
        failed = job.plugin_faults.add(entry.unit.name, failure.message)
        if not self._policy.is_broken_plugin(failed) or job.job.spec.keeps_going or job.is_ending:
            return
        why = (
            f"its first {failed} frames failed alike: {failure.message}; fix the plugin and use "
            "--resume, or add --keep-going to try the others"
        )
        reason = "not tried, because the plugin is broken; with --keep-going, all frames are tried"
        self._state.give_up(job, why, reason, now)

    def _check_share(self, job: ScheduledJob, now: float) -> None:
        """Fail a job if too many of its rendering units have failed."""
        is_broken = self._policy.is_broken(job.failed_frames, job.frames)
        if not is_broken or job.job.spec.keeps_going or job.is_ending or not job.left:
            return
        failed = f"{job.failed_frames} of {job.frames} frames failed"
        why = f"{failed}; fix the cause and use --resume, or add --keep-going to render the others"
        reason = f"the job failed: {failed}; with --keep-going, the others are rendered"
        self._state.give_up(job, why, reason, now)


def _is_its_own(job: ScheduledJob, entry: UnitEntry, failure: Failure) -> bool:
    """Return whether a unit keeps meeting a storage that is gone, although it serves others."""
    if failure.hold is not Hold.STORAGE:
        return False
    if failure.alone and job.hold and job.hold.alone[failure.alone] >= _MOST_HELD_ALONE:
        return True
    succeeded = job.counts[S.SUCCEEDED]
    if entry.held_after < 0:
        entry.held_after = succeeded
    entry.held_alone += entry.held_after < succeeded
    return entry.held_alone > _MOST_HELD_ALONE


def _quarantine_reason(failure: Failure, failures: int) -> str:
    if failure.reason is Reason.WORKER_DIED and not failure.is_fatal:
        return f"killed {failures} workers; last failure: {failure.message}"
    return failure.message
