"""Why a job starts no units although its user wants it to run."""

from collections import Counter
from dataclasses import dataclass, field

from farm.model.messages import Failure, Hold
from farm.scheduling.policy import Policy
from farm.scheduling.units import UnitEntry


@dataclass
class JobHold:
    """A job waits because all its units would fail in the same way.

    A hold for storage ends with the first success: when it is due, one unit of the job, the probe,
    is tried; another one than cause, which met the trouble last, if there is any. A hold until a restart
    never ends in this farm. reason: what the user reads. due: Unix seconds of the next try; None for
    never. failures: tries so far. alone: how many of these met each file whose storage answered otherwise.
    serves_others: it did for cause, so the probe is a unit that has met no trouble, if there is any.
    """

    kind: Hold
    reason: str
    due: float | None = None
    failures: int = 1
    is_due: bool = False
    probe: UnitEntry | None = None
    cause: UnitEntry | None = None
    alone: Counter[str] = field(default_factory=Counter)
    serves_others: bool = False

    @property
    def may_start(self) -> bool:
        """Whether a unit may start now, as the probe."""
        return self.is_due and self.probe is None


def hold_after(
    current: JobHold | None, entry: UnitEntry, failure: Failure, policy: Policy, now: float
) -> JobHold:
    """Return the hold of a job after one of its units failed with a failure that holds the job.

    Units that were running when the hold began fail after it; only the probe renews it.
    """
    if failure.hold is Hold.RESTART:
        return JobHold(Hold.RESTART, failure.message)
    if current and (current.kind is Hold.RESTART or current.probe is not entry):
        return current
    failures = current.failures + 1 if current else 1
    delay = policy.hold_delay(failures)
    reason = f"{failure.message}; the job tries again in {delay:.0f} s"
    alone = Counter([failure.alone] if failure.alone else [])
    alone.update(current.alone if current else ())
    return JobHold(
        Hold.STORAGE,
        reason,
        now + delay,
        failures,
        cause=entry,
        alone=alone,
        serves_others=bool(failure.alone),
    )
