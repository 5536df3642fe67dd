"""What happens to a job when its user wants units to be tried again."""

from collections.abc import Iterable

from farm.errors import Conflict, UnknownName
from farm.model.events import RetryWanted
from farm.model.unit import FAILED, HELD, UnitState
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.units import UnitEntry

S = UnitState


def retry(job: ScheduledJob, wish: RetryWanted, now: float) -> None:
    """Try units again, as if they had never failed, with all that needs them.

    What they need, and was a working file that is gone, is made again too. Raises UnknownName, and
    Conflict if a unit to be redone is needed by one that is running.
    """
    named = [_find(job, name) for name in wish.units] or job.entries
    chosen = [entry for entry in named if _is_meant(entry, wish)]
    again = _with_dependants(job, chosen, is_redo=wish.is_redo)
    again |= _with_needs(job, again, wish.gone)
    if job.hold and again:
        job.hold.alone.clear()
    names = {entry.unit.name for entry in again}
    blocked = [entry for entry in again if job.dependants.waits_for(entry, names)]
    for entry in sorted(again, key=lambda entry: entry.number):
        _begin_again(job, entry, S.BLOCKED if entry in blocked else S.READY, now)
    for entry in blocked:
        entry.waits_for = job.dependants.unended(entry)
    for entry in again:
        _block_dependants(job, entry, now)


def _is_meant(entry: UnitEntry, wish: RetryWanted) -> bool:
    return entry.state.is_final if wish.is_redo else entry.state in FAILED


def _find(job: ScheduledJob, name: str) -> UnitEntry:
    entry = job.dependants.get(name)
    if entry is None:
        raise UnknownName("unit", name, job.dependants.names())
    return entry


def _with_dependants(
    job: ScheduledJob, chosen: Iterable[UnitEntry], *, is_redo: bool
) -> set[UnitEntry]:
    """Return units with those that have ended and need them, but for those that cannot start."""
    again, chain = set[UnitEntry](), list(chosen)
    while chain:
        entry = chain.pop()
        if entry not in again:
            again.add(entry)
            for needing in job.dependants.of(entry):
                if needing.state.is_final:
                    chain.append(needing)
                elif needing.state in HELD and is_redo:
                    name, needed = needing.unit.name, entry.unit.name
                    raise Conflict(f"{name} is being made from {needed}; ask again when it is done")
    return again - _without_needs(job, again)


def _without_needs(job: ScheduledJob, again: set[UnitEntry]) -> set[UnitEntry]:
    """Return the units that cannot start, since others that they need failed and stay so."""
    names = {entry.unit.name for entry in again}
    chain = [entry for entry in again if not job.dependants.may_be_done(entry, names)]
    lacking = set[UnitEntry]()
    while chain:
        entry = chain.pop()
        if entry not in lacking and not entry.unit.is_tolerant:
            lacking.add(entry)
            chain += job.dependants.of(entry)
    return lacking


def _with_needs(
    job: ScheduledJob, again: Iterable[UnitEntry], gone: frozenset[str]
) -> set[UnitEntry]:
    """Return units with those whose files they need and that are gone. gone: names."""
    needed, chain = set[UnitEntry](), list(again)
    while chain:
        entry = chain.pop()
        if entry not in needed:
            needed.add(entry)
            chain += [_find(job, name) for name in entry.unit.needs if name in gone]
    return needed


def _begin_again(job: ScheduledJob, entry: UnitEntry, state: UnitState, now: float) -> None:
    job.dependants.find_again(entry)
    entry.tried_on, entry.crashes = frozenset(), min(entry.crashes, 1)
    entry.retried_from = entry.attempt + 1
    entry.held_after, entry.held_alone, entry.cut_off = -1, 0, frozenset()
    job.move(entry, state, now, reason="tried again", by="user", crashes=entry.crashes)
    entry.failures = ()


def _block_dependants(job: ScheduledJob, needed: UnitEntry, now: float) -> None:
    """Let the units that have not started wait again for one that they need."""
    for entry in job.dependants.of(needed):
        if entry.state in (S.READY, S.RETRY_WAIT):
            job.queues.remove(entry)
            job.move(entry, S.BLOCKED, now, reason="a unit that it needs is tried again", by="user")
        if entry.state is S.BLOCKED:
            entry.waits_for = job.dependants.unended(entry)
