"""The contract of runners, which carry out orders."""

from collections.abc import Callable
from typing import Protocol

from farm.model.messages import Figures, Order, ReportProgress

__all__ = ["IsCancelled", "ReportProgress", "Runner"]

IsCancelled = Callable[[], bool]
"""Returns whether the unit should stop."""


class Runner(Protocol):
    """Carries out orders, one at a time."""

    def run(self, order: Order, report: ReportProgress, is_cancelled: IsCancelled) -> Figures:
        """Do the work of the order's unit. Raises FarmError only, Cancelled included."""

    def close(self) -> None:
        """Close open files."""
