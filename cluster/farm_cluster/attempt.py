"""One attempt at an order by one worker or several, and how it ends. Does not call Ray."""

from dataclasses import dataclass, field
from pathlib import Path

from farm.model.messages import Failure, Order, Reason, UnitCancelled, UnitFailed
from farm.model.transfers import Transfers
from farm_cluster.actor import End

__all__ = ["Attempt"]


@dataclass(eq=False)
class Attempt:
    """The names of the workers that share an order, of which the first leads, and what they answered.

    mark: what they look for before they begin. unseen: what a worker did not see. port: where they
    meet. ends: how each one's part ended; a worker that had to be restarted has none.
    """

    workers: tuple[str, ...]
    order: Order
    has_begun: bool = False
    is_cancelled: bool = False
    mark: Path | None = None
    unseen: dict[str, str] = field(default_factory=dict)
    port: int = 0
    ends: dict[str, End] = field(default_factory=dict)

    @property
    def lead(self) -> str:
        return self.workers[0]

    @property
    def is_shared(self) -> bool:
        return len(self.workers) > 1

    def outcome(self) -> UnitFailed | UnitCancelled:
        """Return how an attempt ended that did not succeed: as the lead was asked, or by its cause.

        The cause comes before what it did to the others, who only lost contact.
        """
        if self.is_cancelled and isinstance(self.ends.get(self.lead), UnitCancelled):
            return self.cancelled()
        ends = (self.ends.get(worker) for worker in self.workers)
        failures = [end.failure for end in ends if isinstance(end, UnitFailed)]
        failures.sort(key=lambda failure: failure.reason is Reason.WORKER_DIED)
        lost = Failure(Reason.WORKER_DIED, "the workers that shared it did not end together")
        return UnitFailed(self.lead, self.order.token, [*failures, lost][0], self.transfers)

    def cancelled(self) -> UnitCancelled:
        return UnitCancelled(self.lead, self.order.token, self.transfers)

    @property
    def transfers(self) -> tuple[Transfers, ...]:
        """What the workers moved whose part has ended."""
        return tuple(moved for end in self.ends.values() for moved in end.transfers)
