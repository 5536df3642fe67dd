"""Sets a worker aside that alone cannot reach a storage which others use.

What a worker meets alone counts against it only once another one has done the same unit.
"""

from farm.model.events import Notice
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.policy import Policy
from farm.scheduling.state import SchedulerState
from farm.scheduling.workers import Lease, Worker


def note_failure(lease: Lease) -> None:
    """Note that a unit met a storage that gives nothing. Of workers that share it, any may be cut off."""
    if not lease.is_shared:
        lease.entry.cut_off |= {lease.lead.name}


def note_success(state: SchedulerState, lease: Lease, now: float) -> None:
    """Count a unit that was done against those who alone met a gone storage with it.

    These are one worker, or those of one node if the unit was done on another. If others met it as
    well, the storage was gone for all.
    """
    entry, job = lease.entry, lease.job
    met, entry.cut_off = entry.cut_off, frozenset()
    if not met:
        return
    suspects = [worker for name in sorted(met) if (worker := state.workers.get(name))]
    nodes = {worker.joined.node for worker in suspects}
    are_all_here = len(suspects) == len(met)
    is_one_node = are_all_here and len(nodes) == 1 and lease.lead.joined.node not in nodes
    if not (len(met) == 1 or is_one_node) or not met.isdisjoint(w.name for w in lease.workers):
        return
    for worker in suspects:
        if state.block(job, worker, now):
            state.emit(Notice(job.job.spec.output, _note(worker, job, state.policy)))


def _note(worker: Worker, job: ScheduledJob, policy: Policy) -> str:
    return (
        f"worker {worker.name} cannot reach the storage, which others use; it gets no units of job "
        f"{job.job.id} for {policy.forgive_seconds / 60:.0f} min; check the network and disks of "
        f"its node ({worker.joined.node})"
    )
