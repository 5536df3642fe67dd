"""The classes that plugin authors subclass: tasks, effects, runs and their parameters.

Imports no torch, so that plugin modules stay light.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from farm.host.context import Context

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Effect", "Field", "FilePath", "NetworkParams", "Run", "Task", "TaskParams"]


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

    def check(self, context: Context) -> None:  # noqa: B027 - most tasks need no more than Params
        """Refuse, with a UserError, what only networks or files can tell is wrong.

        Called once before any frame is rendered, in the submitting process.
        """


class Effect(Task):
    """A task that turns a picture into a picture.

    is_endless: the image is the frame before as it was rendered, the first one the input;
    --frames says how many.
    """

    is_endless: ClassVar[bool] = False

    @property
    def continues_previous(self) -> bool:
        """Whether render begins from context.previous by itself.

        Of any other effect's results in coherent films the farm mixes in the one before.
        """
        return False

    @abstractmethod
    def render(self, image: "Tensor", context: Context) -> "Tensor":
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
    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        """Train on the inputs (paths or URLs), and leave the result in the folder, whole."""
