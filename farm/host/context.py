"""What the farm gives a task while it renders a frame or trains: the context."""

from typing import TYPE_CHECKING, Protocol

from farm.model.specs import Previous

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective
    from farm.engine.world import World


class Context(Protocol):
    """What a frame's render, or a run, may ask for."""

    @property
    def device(self) -> "torch.device":
        """Device that holds the image."""

    @property
    def dtype(self) -> "torch.dtype":
        """Precision of the image and of sums: float32 or float64."""

    @property
    def seed(self) -> int:
        """The frame's own seed, 0 <= seed < 2**63; the same on every worker and retry."""

    @property
    def number(self) -> int:
        """The frame's number in its film, from 0; 0 for a still."""

    @property
    def seconds(self) -> float:
        """When the frame is shown in its film; 0 for a still."""

    @property
    def previous(self) -> Previous | None:
        """What the frame before became, in a coherent film; None where there is none."""

    @property
    def world(self) -> "World":
        """The workers that train together in a run; one alone elsewhere."""

    def generator(self) -> "torch.Generator":
        """Return a fresh CPU generator seeded with the frame's seed."""

    def progress(self, done: float, note: str = "") -> None:
        """Say that the fraction done (0..1) of the frame is finished. Raises Cancelled."""

    def network(self, name: str, weights: str | None = None) -> "Network":
        """Return a network by name, kept warm between frames. Raises UserError."""

    def gradient(
        self, image: "Tensor", network: "Network", *objectives: "Objective"
    ) -> tuple[float, "Tensor"]:
        """Return the sum of the objectives and its exact gradient for the whole image.

        However large the image, the result is the whole picture's: see engine.gradient.
        """

    def statistics(
        self, image: "Tensor", network: "Network", objective: "Objective"
    ) -> "dict[str, Tensor]":
        """Return what the objective adds up over the whole image, by layer."""

    def features(self, image: "Tensor", network: "Network", layer: str) -> "Tensor":
        """Return a layer's features for the whole image: [1, channels, rows, columns]."""

    def apply(self, module: "nn.Module", image: "Tensor", until: float | None = None) -> "Tensor":
        """Return what a network from picture to picture makes of the whole image, in tiles.

        The module keeps height and width, and no pixel depends on all others: see engine.apply.
        until: the fraction of the frame that is finished then; progress goes there tile by tile.
        """

    def read(self, source: str) -> "Tensor":
        """Return a further picture (guide, mask, style) as [1, 3, height, width] in 0..1."""

    def mean(self, values: "Tensor") -> float:
        """Return the mean over the whole picture."""
