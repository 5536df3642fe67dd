"""What a run and the training loop exchange."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from farm.engine.training.checkpoint import TrainState
from farm.model.messages import TrainingFigures

Picture = Float[Tensor, "1 3 height width"]


@dataclass(frozen=True)
class TrainingOptions:
    """The length of a run, and its checkpoints.

    batch: pictures per step, on all workers together. every: steps between checkpoints. kept:
    number of checkpoints to keep.
    """

    folder: Path
    steps: int
    batch: int
    every: int = 100
    kept: int = 3


@dataclass(frozen=True)
class StepResult:
    """The result of a step on this worker's rows.

    losses, figures: summed over the rows and divided by the whole batch, so that the values of all
    workers add up. Losses must stay finite. pictures: the network's output, for the detector.
    rate: the learning rate that is shown. warning: what the user should know, such as pictures that
    were skipped; empty if all is well.
    """

    losses: Mapping[str, Float[Tensor, ""]]
    pictures: Float[Tensor, "rows 3 height width"] | None = None
    figures: Mapping[str, Float[Tensor, ""]] = field(default_factory=dict)
    rate: float | None = None
    warning: str = ""


Step = Callable[[TrainState, range], StepResult]
"""Performs step number state.step on these rows of the batch."""


@dataclass(frozen=True)
class Observation:
    """What a run shows at a checkpoint.

    pictures: by name, RGB in 0..1. Use the same random numbers and the same scaling each time, so
    that they make a film. figures: by name, such as the accuracy on pictures that are held out.
    """

    pictures: Mapping[str, Picture] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


Observe = Callable[[], Observation]
"""Looks at the networks without changing them or any random generator."""


@runtime_checkable
class Detector(Protocol):
    """Detects that a run goes wrong, from the pictures of its steps."""

    def measure(self, pictures: Float[Tensor, "rows 3 height width"]) -> Float[Tensor, "rows n"]:
        """Return values whose average over the batch, all workers' rows included, is checked."""

    def check(
        self, step: int, losses: Mapping[str, float], measured: Float[Tensor, " n"]
    ) -> tuple[dict[str, float], str]:
        """Return figures for the log, and a warning or an empty string.

        measured: the average over the batch. Raises UserError to end the run.
        """


@dataclass(frozen=True)
class StepRecord:
    """A finished step. fraction: of the run, 0..1."""

    fraction: float
    figures: TrainingFigures


@runtime_checkable
class Watcher(Protocol):
    """Follows a run on its first worker."""

    def on_step(self, record: StepRecord) -> None:
        """Handle a step that is in the log."""

    def on_checkpoint(self, state: TrainState, observation: Observation) -> None:
        """Handle a checkpoint that has been written."""

    def on_stop(self, state: TrainState) -> None:
        """Handle the end of an attempt that was asked to stop, after its checkpoint."""

    def on_end(self, state: TrainState) -> None:
        """Handle the end of a run that has made all its steps."""
