"""The classes that plugin authors subclass: tasks, effects, runs and their parameters.

Imports no torch, so that plugin modules stay light.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from farm.errors import UserError
from farm.host.context import Context
from farm.host.named_files import NAMES_FILE, NAMES_MASK, named_files
from farm.model.film import Coherence
from farm.model.specs import Sampler

if TYPE_CHECKING:
    from torch import Tensor

    from farm.engine.training.checkpoint import Facts

__all__ = [
    "Effect",
    "Field",
    "FilePath",
    "MaskPath",
    "NetworkParams",
    "Run",
    "Task",
    "TaskParams",
]


class TaskParams(BaseModel):
    """A task's parameters. Flags, JSON schema and validation all come from this one declaration.

    Give every field a description: it is the flag's help text. Instances are frozen and accept
    neither unknown names nor NaN or infinity. A validator that rejects a combination should name
    `parameters` in backticks; the command line shows these as flags.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _absolute(path: str) -> str:
    if not path:
        raise ValueError("give the path of a file or folder")
    return path if "://" in path else str(Path(path).expanduser().absolute())


FilePath = Annotated[str, AfterValidator(_absolute), NAMES_FILE]
"""Path of a file or folder. It becomes absolute, so that it means the same on every worker.

Its content counts as part of the parameters; see Task.files.
"""

MaskPath = Annotated[FilePath, NAMES_MASK]
"""FilePath of a picture that must have the shape of the input, at any size, such as a mask.

An input of another shape is refused when the job is planned; farm.engine.masks.fit_mask scales the picture.
"""


def _absolute_file(network: str) -> str:
    """Return a network's name; the path of a file becomes absolute."""
    is_file = os.path.isfile(network)  # noqa: PTH113 - false, and no error, for impossible paths
    return _absolute(network) if is_file and Path(network).suffix else network


class NetworkParams(TaskParams):
    """Parameters of a task that uses a network."""

    network: Annotated[str, AfterValidator(_absolute_file)] = Field(
        "starter",
        description="Network to use: see `farm networks`; or a .caffemodel file, or the folder of a "
        "run that trained one, as RUN or RUN@STEP.",
        json_schema_extra={
            "help": "Network to use, by name, such as starter or googlenet; or a .caffemodel file, or the folder "
            "of a run that trained one, as RUN or RUN@STEP."
        },
    )
    weights: FilePath | None = Field(
        None,
        description="Weights file for the network: .safetensors, .caffemodel, or a .pth state dict.",
    )


class Task(ABC):
    """Base class of Effect and Run; subclass one of those.

    name: the command, as in ``farm NAME``: 1 to 32 lower-case letters, digits and dashes. The first
    line of the class's docstring is the command's help text. params: an instance of Params.
    """

    name: ClassVar[str]
    Params: ClassVar[type[TaskParams]] = TaskParams

    def __init__(self, params: Any) -> None:
        self.params = params

    def files(self) -> dict[str, str]:
        """Return the path of every file that the parameters name, by the text that names it.

        Default: each FilePath in Params, wherever it is. Extend it for files that are named in another
        way, such as by a name without a path. The farm takes the digests of these files when a job is
        submitted: they decide whether a job can be resumed, are part of the record in the output,
        and a unit fails if one of its files has changed since. Raises UserError for a name it does not know.
        """
        return {path: path for path in named_files(self.params)}

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks whose own weights the task uses, which count like files.

        Default: the network of NetworkParams, unless other weights are given.
        """
        params = self.params
        uses_own = isinstance(params, NetworkParams) and params.weights is None
        return (params.network,) if uses_own else ()

    def check(self, context: Context) -> None:  # noqa: B027 - most tasks need no more than Params
        """Raise a UserError for parameters that can only be checked against networks or files.

        Called once per job, in the submitting process, before any frame is rendered.
        """

    def notes(self, context: Context) -> Iterable[str]:  # noqa: ARG002 - for those that look into networks
        """Return what the user should know before work starts, such as what a word stands for.

        Called after check, where check is called. Each is one line.
        """
        return ()


class Effect(Task):
    """A task that renders a picture from a picture.

    is_endless: each frame is rendered from the previous rendered frame, the first from the input.
    --frames sets the number of frames. presets: named sets of parameters, for --preset.
    coherence: what context.previous is in films at least, whatever --coherence says. previous: the previous
    rendered frame as it was, without optical flow; nothing is blended in. flow: as with --coherence flow.
    """

    is_endless: ClassVar[bool] = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    coherence: ClassVar[Coherence] = "none"

    @property
    def continues_previous(self) -> bool:
        """Whether render itself continues from context.previous in coherent films.

        If not, the farm blends the warped previous frame into the result.
        """
        return False

    @property
    def keeps_strength(self) -> bool:
        """Whether the effect changes every frame of a shot about equally, on average.

        If so, and if it continues the previous frame, the farm scales what it has changed, coarse and fine
        detail apart: carrying changes from frame to frame would weaken them. How strong they should be is
        known from one frame in four, which is also rendered without context.previous, before its turn.
        """
        return False

    @abstractmethod
    def render(self, image: "Tensor", context: Context) -> "Tensor":
        """Return the rendered picture, without changing the image.

        image: [1, 3, height, width], sRGB-encoded RGB in 0..1, on context.device.
        Returns the same layout; values outside 0..1 are clipped when the picture is written.
        """


class Run(Task):
    """A task that trains and writes its result into a folder.

    result: name of the file that train leaves in the folder at the end.
    """

    result: ClassVar[str]

    def check_inputs(self, inputs: tuple[str, ...], context: Context) -> None:
        """Raise a UserError for inputs that cannot be trained on, such as a folder without pictures.

        Called once per job, in the submitting process, after check.
        """

    def notes_on_inputs(self, inputs: tuple[str, ...], context: Context) -> Iterable[str]:  # noqa: ARG002 - as notes
        """Return what the user should know of the inputs before work starts, as notes does.

        Called after check_inputs, where that is called.
        """
        return ()

    def facts(self, inputs: tuple[str, ...], context: Context) -> "Facts":  # noqa: ARG002 - as above
        """Return what must not change when a run is resumed, as far as it is known before work starts.

        Pass it on as facts of the TrainState, with any that only training finds. Called in the
        submitting process before a job resumes a run: one that differs from the newest checkpoint's is
        refused, by the fact's name, before work starts. The default, none, leaves that to the training.
        A fact named like a parameter is shown as its flag; None is that of a fact that is left out.
        """
        return {}

    @abstractmethod
    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        """Train on the inputs and write the result file into the folder, whole.

        inputs: paths or URLs. folder: exists; if it contains checkpoints of an earlier attempt,
        resume from them.
        """

    def sampler(self, checkpoint: Path, context: Context) -> Sampler:  # noqa: ARG002 - for those that draw
        """Return what draws pictures from a checkpoint of this run, for `farm sample`.

        self.params are those that the run was started with, but a file is named without its folder
        and may be gone. Raises UserError if the task draws no pictures, which is the default, and
        BadInput if the checkpoint cannot be read.
        """
        raise UserError(f"task {self.name!r} draws no pictures; give a run that trains a generator")
