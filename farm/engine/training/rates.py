"""Learning rates: the schedule of a run, and what a supervisor decides about it."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from math import cos, pi
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises for warm_up steps, then falls along a cosine to `last`."""

    steps: int
    warm_up: int = 50
    last: float = 0.05

    def share(self, step: int) -> float:
        """Return a step's fraction of the peak rate, 0..1; steps count from 0."""
        cosine = 0.5 + 0.5 * cos(pi * min(1, step / self.steps))
        return min(1, (step + 1) / self.warm_up) * (self.last + (1 - self.last) * cosine)


@dataclass(frozen=True)
class Decision:
    """A change of the learning rate, with its reason.

    step: after which it was taken. factor: of the rate from now on, relative to the run's own.
    rewind_to: the step that the run goes back to; None to go on. stops: nothing helped, and the
    run ends.
    """

    step: int
    factor: float
    reason: str
    rewind_to: int | None = None
    stops: bool = False

    def __str__(self) -> str:
        return f"the learning rate is now {self.factor:g} times the run's own: {self.reason}"


@runtime_checkable
class Supervisor(Protocol):
    """Watches the loss and changes the learning rate.

    Its state are plain values in the run's memory, so that a resumed run decides the same.
    """

    def decide(self, memory: MutableMapping[str, Any], step: int, loss: float) -> Decision | None:
        """Take the sum of a step's losses; return a decision if one is due."""

    def safe_step(self, memory: MutableMapping[str, Any]) -> int:
        """Return the step that a decision may go back to; the run keeps its checkpoint."""

    def carry_over(
        self, memory: MutableMapping[str, Any], earlier: MutableMapping[str, Any]
    ) -> None:
        """Keep what must survive going back, such as the decisions. earlier: of the checkpoint."""
