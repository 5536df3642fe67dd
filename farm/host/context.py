"""The context: what the farm gives a task while it renders a frame or trains."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from farm.model.specs import Part, PictureSet, Previous

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import Detector, Observe, Step, TrainingOptions
    from farm.engine.training.rates import Supervisor
    from farm.engine.world import World

Loaded = TypeVar("Loaded")


class Context(Protocol):
    """What an effect can use while it renders a frame, and a run while it trains.

    gradient, statistics, features and apply work on pictures of any size: the farm divides them
    into tiles where necessary, and the result is that of the whole picture. read, pictures, load,
    digest and network raise InputChanged for a file of the job that has changed since it was
    submitted.
    """

    @property
    def device(self) -> "torch.device":
        """The device the image is on."""

    @property
    def dtype(self) -> "torch.dtype":
        """The dtype of the image: float32 or float64."""

    @property
    def seed(self) -> int:
        """The frame's own seed, 0 <= seed < 2**63. It is the same on every worker and at every retry."""

    @property
    def number(self) -> int:
        """The frame's number in its film, from 0; 0 for a still."""

    @property
    def seconds(self) -> float:
        """When the frame is shown in its film, in seconds; 0 for a still."""

    @property
    def previous(self) -> Previous | None:
        """The previous rendered frame of a coherent film, warped to match this one, and as it was.

        None for a still, at the start of a shot or segment, and if the previous frame failed.
        """

    @property
    def world(self) -> "World":
        """The workers that share this unit. Most units have a single worker."""

    def generator(self) -> "torch.Generator":
        """Return a new CPU generator, seeded with the frame's seed."""

    def progress(self, done: float, note: str = "") -> None:
        """Report the fraction of the frame that is done, 0..1, with an optional note.

        Call it often. Raises Cancelled if the unit should stop; do not catch it.
        """

    def network(self, name: str, weights: str | None = None) -> "Network":
        """Return a network by name. It stays loaded between frames.

        weights: path of a weights file to use instead of the network's own. Raises UserError for
        an unknown name, or weights that are missing or do not fit.
        """

    def module(self, name: str, weights: str | None = None) -> "nn.Module":
        """Return the module of a network, to train it, on the context's device.

        Unlike network, it is not folded, not frozen and not shared, and it has the classifiers that
        only training uses. Raises UserError as network does.
        """

    def gradient(
        self, image: "Tensor", network: "Network", *objectives: "Objective"
    ) -> tuple[float, "Tensor"]:
        """Return the sum of the objectives and its gradient with respect to the image.

        The gradient is exact, however large the image is: see farm.engine.gradient.
        """

    def statistics(
        self, image: "Tensor", network: "Network", objective: "Objective"
    ) -> "dict[str, Tensor]":
        """Return the statistics that the objective sums over the whole image, by layer."""

    def features(self, image: "Tensor", network: "Network", layer: str) -> "Tensor":
        """Return a layer's features for the whole image: [1, channels, rows, columns]."""

    def apply(self, module: "nn.Module", image: "Tensor", until: float | None = None) -> "Tensor":
        """Return the output of an image-to-image network for the whole image.

        module: keeps height and width, and has a limited reach: see farm.engine.apply.
        until: the fraction of the frame that is done afterwards; progress advances to it tile by
        tile.
        """

    def read(self, source: str) -> "Tensor":
        """Return another picture, such as a guide or a mask: [1, 3, height, width] in 0..1.

        source: path or URL. Raises BadInput.
        """

    def pictures(self, source: str, part: Part = "train") -> PictureSet:
        """Return the pictures of a source to train on, or those held out to measure with.

        source: a dataset that `farm prepare` has written; a folder of pictures, or a folder per
        category, with or without a train/ and a val/ above it; or a zip of any of these. Without a
        val/, part "val" is empty. Pictures are in natural order, and none stays in memory:
        farm.engine.training.feed decodes them ahead of the step. Raises BadInput if there is no
        such source, or nothing to train on.
        """

    def load(self, path: str, read: "Callable[[Path], Loaded]") -> "Loaded":
        """Return what a function reads from a file, such as a module. It stays loaded between frames.

        read: a function of a module, not a lambda; it returns a value that nobody changes. A tensor
        or a torch module is moved to the context's device and dtype. The farm keeps such values by
        the content of their files, together with the networks, and drops the least recently used
        ones beyond 2 GiB. Raises BadInput, and whatever read raises.
        """

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file, or one that stands for a folder and every file in it.

        A run puts the digests of what it trains on into the facts of its checkpoints. Raises
        BadInput.
        """

    def train(
        self,
        state: "TrainState",
        step: "Step",
        options: "TrainingOptions",
        *,
        observe: "Observe | None" = None,
        detector: "Detector | None" = None,
        supervisor: "Supervisor | None" = None,
    ) -> None:
        """Start the run in the folder, or resume it from its last checkpoint, and finish it.

        state: everything that changes while the run trains. step: performs one step; it must depend
        on nothing but the state and the rows it is given. observe: returns pictures and figures,
        on the first worker, at each checkpoint. detector: warns when a run goes wrong.
        supervisor: changes the learning rate, which the step must then apply.
        The farm writes checkpoints, a log of every step, curves, a page to look at and the film of
        each picture, and exports metrics. Raises BadInput if the folder contains another run, and
        UserError if training diverges.
        """

    def mean(self, values: "Tensor") -> float:
        """Return the mean of the values over the whole picture."""
