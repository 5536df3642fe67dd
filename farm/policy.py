"""How often to try again, when, and where: values and pure functions, no state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from farm.executor import Reason

_TRIES = MappingProxyType(
    {
        Reason.USER_ERROR: 1,
        Reason.BUG: 1,
        Reason.MEMORY: 2,
        Reason.PLUGIN_ERROR: 3,
        Reason.STORAGE: 3,
        Reason.TIMEOUT: 3,
        Reason.WORKER_DIED: 3,
    }
)


@dataclass(frozen=True)
class Policy:
    """The farm's patience.

    tries: attempts that may fail for each reason, each on its own budget. backoff_seconds:
    wait before the first retry that is not the plugin's fault, doubled up to the cap.
    blocklist_failures: failures in a row before a worker gets no more of a job's units, for
    forgive_seconds. silence_seconds: a lease without a word this long loses its worker.
    no_workers_seconds: a farm without workers this long gives its jobs up.
    """

    tries: Mapping[Reason, int] = field(default_factory=lambda: _TRIES)
    backoff_seconds: float = 1.0
    backoff_cap_seconds: float = 60.0
    blocklist_failures: int = 3
    forgive_seconds: float = 1800.0
    silence_seconds: float = 1800.0
    no_workers_seconds: float = 300.0

    def is_spent(self, reason: Reason, failures: int) -> bool:
        """Say whether so many failures for this reason are too many."""
        return failures >= self.tries[reason]

    def delay(self, reason: Reason, failures: int) -> float:
        """Return seconds to wait before the next try, after so many failures."""
        if reason is Reason.PLUGIN_ERROR:
            return 0.0
        return float(min(self.backoff_seconds * 2 ** (failures - 1), self.backoff_cap_seconds))

    def is_blocked(self, failures: int, seconds_ago: float) -> bool:
        """Say whether a worker with so many failures in a row is off a job for now."""
        return failures >= self.blocklist_failures and seconds_ago < self.forgive_seconds
