"""What a plugin offers: a task, its parameters, and what a frame's context gives it.

Knows nothing of jobs, workers or files, and imports no torch: plugin modules stay light.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective
    from farm.engine.world import World

__all__ = [
    "Context",
    "Effect",
    "Field",
    "FilePath",
    "NetworkParams",
    "NetworkSpec",
    "Previous",
    "Run",
    "Task",
    "TaskParams",
    "Weights",
]


class TaskParams(BaseModel):
    """A task's parameters: the one declaration behind flags, schema, form and validation.

    A validator that refuses a combination names `parameters` in backquotes: the command line
    tells them as flags.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _absolute(path: str) -> str:
    return path if "://" in path else str(Path(path).expanduser().absolute())


FilePath = Annotated[str, AfterValidator(_absolute)]
"""A file that a parameter names: made absolute, so that it means the same on every worker."""


class NetworkParams(TaskParams):
    """Parameters of a task that looks through a network."""

    network: str = Field("starter", description="Network to look through; see `farm networks`.")
    weights: FilePath | None = Field(
        None, description="Weights file for the network: .safetensors, or a .pth state dict."
    )


class Task(ABC):
    """What a plugin offers under one name. Subclass Effect, not this."""

    name: ClassVar[str]
    Params: ClassVar[type[TaskParams]] = TaskParams

    def __init__(self, params: Any) -> None:
        self.params = params

    def check(self, context: "Context") -> None:  # noqa: B027 - most tasks need no more than Params
        """Refuse, with a UserError, what only networks or files can tell is wrong.

        Called once before any frame is rendered, in the submitting process.
        """


@dataclass(frozen=True, eq=False)
class Previous:
    """What the frame before became, moved along to where its things are now.

    image: as the frame's own. trust: [1, 1, height, width], 0 where it shows nothing of now.
    """

    image: "Tensor"
    trust: "Tensor"


class Effect(Task):
    """A task that turns a picture into a picture.

    is_endless: the image is the frame before as it was rendered, the first one the input;
    --frames says how many.
    """

    is_endless: ClassVar[bool] = False

    @property
    def goes_on(self) -> bool:
        """Whether render begins from context.previous by itself.

        Of any other effect's results in coherent films the farm mixes in the one before.
        """
        return False

    @abstractmethod
    def render(self, image: "Tensor", context: "Context") -> "Tensor":
        """Return the rendered picture.

        image: [1, 3, height, width], sRGB-encoded RGB in 0..1, on context.device.
        Returns the same layout; values outside 0..1 are clipped when written.
        """


class Run(Task):
    """A task that trains: one long program, which leaves a folder with its result in it.

    result: name of the file in the folder that the run ends with. A folder that holds an
    earlier run's checkpoints is gone on with.
    """

    result: ClassVar[str]

    @abstractmethod
    def train(self, inputs: tuple[str, ...], folder: Path, context: "Context") -> None:
        """Train on the inputs (paths or URLs), and leave the result in the folder, whole."""


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


@dataclass(frozen=True)
class Weights:
    """Where a network's weights come from.

    file: a packaged file, with its sha256. url: where torch.hub fetches it from, asked for late.
    """

    file: Path | None = None
    sha256: str | None = None
    url: Callable[[], str] | None = None


@dataclass(frozen=True)
class NetworkSpec:
    """A network that a plugin adds: architecture, weights and how to feed it.

    build: returns the module without weights, traceable by torch.fx.
    mean, std: normalisation of RGB in 0..1.
    aliases: extra layer names, for example relu4_2 for features.22.
    head: the layer that the classifier reads, and a function from the module to a
    convolutional head, so that the mean of its output over positions is the class scores.
    """

    name: str
    build: "Callable[[], nn.Module]"
    weights: Weights = field(default_factory=Weights)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    aliases: Mapping[str, str] = field(default_factory=dict)
    head: "tuple[str, Callable[[nn.Module], nn.Module]] | None" = None
    classes: Callable[[], tuple[str, ...]] = tuple
    description: str = ""
