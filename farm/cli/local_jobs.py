"""The jobs in this machine's own ledger, in the words of the service."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from farm.errors import LedgerUnavailable, UnknownName
from farm.model.events import Notice
from farm.model.job import PLANNED, RESUMED, Job, JobSpec, JobState
from farm.model.job_counts import JobCounts
from farm.model.unit import UnitState
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.ledger import Ledger


INTERRUPTED_STATE: Final = "interrupted"
"""What lists call the state of a job that has not ended and whose farm is dead."""

REPLACED: Final = "replaced by"
"""Begins what lists say of such a job if a later one has written the same files, and ends with that one's id."""

INTERRUPTED: Final = "the farm that ran it is gone; run it again with --resume to go on"
"""Why a job does not go on that has not ended and whose farm is dead."""


def state_word(job: Mapping[str, Any]) -> str:
    """Return the state of a job for people: in one word, or as which job it goes on. job: as described."""
    reason = str(job.get("reason") or "")
    if reason.startswith((f"{RESUMED} ", f"{REPLACED} ")):
        return reason
    return INTERRUPTED_STATE if job.get("interrupted") else str(job["state"])


def amount_done(job: Mapping[str, Any]) -> str:
    """Return how many frames of a job are done and have failed; units if it has no frames. job: as described.

    What failed may be no frame, but a step such as the film itself.
    """
    seen = job.get("seen")
    amount, noun = (seen, "frame") if seen else (job, "unit")
    total, failed = amount["frames"], amount["failed"] or job["failed"]
    failures = f", {failed:,} failed" if failed else ""
    return f"{amount['done']:,} of {total:,} {noun}{'' if total == 1 else 's'}{failures}"


@contextmanager
def opened_ledger() -> Iterator["Ledger"]:
    """Yield the ledger of this machine. Raises UserError if there is none, and creates none."""
    from farm.ledger import Ledger

    with closing(Ledger.open_existing(Settings().ledger_url)) as ledger:
        yield ledger


def is_before_all_jobs() -> bool:
    """Return whether nobody has run a job or named a ledger on this machine yet."""
    path = Settings().ledger_path
    return not Settings().ledger and path is not None and not path.exists()


def missing_ledger(settings: Settings) -> Iterator[Notice]:
    """Yield a notice if somebody has named a ledger that a farm will create: the name may have a typo."""
    path = settings.ledger_path
    if settings.ledger and path is not None and not path.exists():
        yield Notice(str(path), "there was no ledger here; it has been created")


def is_outside(spec: Mapping[str, Any]) -> bool:
    """Return whether a job names files that a farm cannot be asked for, as they are below none of its roots."""
    locations = [*spec.get("inputs", ()), spec.get("output", "")]
    return any(str(location).startswith("-/") for location in locations)


def own_spec(job: str) -> JobSpec | None:
    """Return the spec of a job with its true locations, if the ledger of this machine has it."""
    path = Settings().ledger_path
    if path is not None and not path.exists():
        return None
    with suppress(LedgerUnavailable), opened_ledger() as ledger:
        known = ledger.job(job)
        return known.spec if known else None
    return None


def stored_tracebacks(job: str) -> list[str]:
    """Return each traceback of a job's last failures once, newest first."""
    with opened_ledger() as ledger:
        failures = ledger.failures(ledger.job_like(job).id)
        return list(dict.fromkeys(f.failure.traceback for f in failures if f.failure.traceback))


def job_state(word: str | None, *others: str) -> JobState | None:
    """Return the state with this name. others: words that the caller takes, too. Raises UnknownName."""
    if word is None:
        return None
    try:
        return JobState(word)
    except ValueError:
        raise UnknownName("state", word, [*JobState, *others]) from None


def described_jobs(ledger: "Ledger", jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return what a service would say of jobs, and which of them no farm works on any longer."""
    names = [job.id for job in jobs]
    counts, abandoned = ledger.counts_of(names), ledger.abandoned(names, time.time())
    whys = {job.id: _interruption(ledger, job) for job in jobs if job.id in abandoned}
    nothing = JobCounts()
    return [described(job, counts.get(job.id, nothing), whys.get(job.id, "")) for job in jobs]


def _interruption(ledger: "Ledger", job: Job) -> str:
    """Return why a job whose farm is dead does not go on."""
    latest = ledger.find(job.spec.key)
    is_done = latest and latest.id != job.id and latest.state is JobState.COMPLETED
    return f"{REPLACED} {latest.id}" if latest and is_done else INTERRUPTED


def described(job: Job, known: JobCounts, interruption: str) -> dict[str, Any]:
    """Return what a service would say of a job. interruption: why it does not go on, if its farm is dead."""
    counts, seen = known.units, known.seen
    return {
        "id": job.id,
        "task": job.spec.task,
        "state": str(job.state),
        "interrupted": bool(interruption),
        "reason": interruption or job.reason,
        "wanted": str(job.wanted),
        "priority": job.spec.priority,
        "created": job.created,
        "since": job.since,
        "counts": {str(state): count for state, count in counts.items()},
        "frames": sum(counts.values()),
        "done": sum(count for state, count in counts.items() if state.is_done),
        "failed": counts.get(UnitState.QUARANTINED, 0),
        "seen": seen.as_dict() if seen else None,
        "spec": job.spec.model_dump(mode="json", exclude=PLANNED),
        "device": job.device,
    }
