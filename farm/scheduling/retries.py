"""What happens to a job when its user wants failed units to be tried again."""

from collections.abc import Sequence

from farm.errors import UnknownName
from farm.model.unit import UnitState
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.units import UnitEntry

S = UnitState


def retry(job: ScheduledJob, names: Sequence[str], now: float) -> None:
    """Try quarantined units again, as if they had never failed; all of them if none is named.

    The units that were cancelled because of them, or could have started without them, wait for
    them again. What has been made without them stays. Raises UnknownName.
    """
    for entry in [_find(job, name) for name in names] or job.entries:
        if entry.state is S.QUARANTINED:
            job.dependants.find_again(entry)
            entry.tried_on, entry.crashes = frozenset(), min(entry.crashes, 1)
            job.move(entry, S.READY, now, reason="tried again", by="user")
            entry.failures = ()
            _block_dependants(job, entry, now)


def _find(job: ScheduledJob, name: str) -> UnitEntry:
    entry = job.dependants.get(name)
    if entry is None:
        raise UnknownName("unit", name, job.dependants.names())
    return entry


def _block_dependants(job: ScheduledJob, needed: UnitEntry, now: float) -> None:
    chain = [needed]
    while chain:
        for entry in job.dependants.of(chain.pop()):
            if entry.state is S.CANCELLED and job.dependants.may_be_done(entry):
                chain.append(entry)
                job.dependants.find_again(entry)
                _block(job, entry, now)
            elif entry.state in (S.READY, S.RETRY_WAIT):
                job.queues.remove(entry)
                _block(job, entry, now)
            elif entry.state is S.BLOCKED:
                entry.waits_for = job.dependants.unended(entry)


def _block(job: ScheduledJob, entry: UnitEntry, now: float) -> None:
    """Let a unit wait again for those that it needs."""
    job.move(entry, S.BLOCKED, now, reason="a unit that it needs is tried again", by="user")
    entry.waits_for = job.dependants.unended(entry)
