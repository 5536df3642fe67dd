"""The contract of runners, which carry out orders."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from farm.model.messages import Figures, Order, ReportProgress

if TYPE_CHECKING:
    from farm.engine.world import World

__all__ = ["IsCancelled", "ReportProgress", "Runner"]

IsCancelled = Callable[[], bool]
"""Returns whether the unit should stop."""


class Runner(Protocol):
    """Carries out orders, one at a time."""

    def run(
        self,
        order: Order,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        world: "World | None" = None,
        /,
    ) -> Figures:
        """Do the work of the order's unit. Raises FarmError only, Cancelled included.

        world: the workers that run the order together, of which the first writes; None for this one.
        """

    def close(self) -> None:
        """Close open files."""
