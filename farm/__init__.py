"""A render farm for neural effects: the names that plugin authors and callers import.

To add an effect, subclass Effect and return it from a farm_tasks hook:

    from farm import Effect, Field, TaskParams, hookimpl

    class Invert(Effect):
        \"\"\"Photographic negative.\"\"\"

        name = "invert"

        class Params(TaskParams):
            amount: float = Field(1.0, ge=0, le=1, description="0 keeps the picture.")

        def render(self, image, context):
            return image.lerp(1 - image, self.params.amount)

    @hookimpl
    def farm_tasks():
        return [Invert]

An effect's life: the class is checked when its plugin is loaded. Params are validated, and check is
called, once per job, before any work. Each worker then makes one instance and calls render for
one frame after the other, in any order, so keep nothing on self from frame to frame. Parameters that
may change in a film are marked OverTime, in TimedParams; frames then have instances of their own.

image is [1, 3, height, width], sRGB-encoded RGB in 0..1, on context.device. Return a new tensor, do not
change this one. It may have another size; the frames of a film all have one size, so there it must
follow from the source's size alone. Values outside 0..1 are clipped; NaN and infinity fail the
frame. Take random numbers from context.generator(), and call context.progress often: it raises
Cancelled when the job stops. What else a context offers is in Context: other pictures, networks,
exact gradients, and the previous frame of a coherent film. Name files as FilePath in Params, and masks
as MaskPath.

Subclass Run for a task that trains, and return a NetworkSpec from farm_networks to add a network.
farm.testing.check_effect checks an effect in a plugin's own tests. docs/plugins.md has the whole
contract, with examples that work. Client gives jobs to a farm that runs as a service. Importing
farm neither imports torch nor starts any work.
"""

from typing import TYPE_CHECKING

from farm.errors import (
    BadInput,
    BadOutput,
    BadParameter,
    Cancelled,
    FarmError,
    InputChanged,
    PluginError,
    UnknownName,
    UserError,
    WeightsMissing,
)
from farm.host.context import Context
from farm.host.hookspecs import hookimpl
from farm.host.keyframes import weighted
from farm.host.over_time import OverTime, TimedParams
from farm.host.task import (
    Effect,
    Field,
    FilePath,
    MaskPath,
    NetworkParams,
    Run,
    Task,
    TaskParams,
)
from farm.model.specs import NetworkSpec, Part, PictureSet, Previous, Sampler, Weights
from farm.storage import input_path

__all__ = [
    "BadInput",
    "BadOutput",
    "BadParameter",
    "Cancelled",
    "Client",
    "Context",
    "Effect",
    "FarmError",
    "Field",
    "FilePath",
    "InputChanged",
    "MaskPath",
    "NetworkParams",
    "NetworkSpec",
    "OverTime",
    "Part",
    "PictureSet",
    "PluginError",
    "Previous",
    "Run",
    "Sampler",
    "Task",
    "TaskParams",
    "TimedParams",
    "UnknownName",
    "UserError",
    "Weights",
    "WeightsMissing",
    "__version__",
    "hookimpl",
    "input_path",
    "weighted",
]

if TYPE_CHECKING:
    from farm.client import Client

    __version__: str


def __getattr__(name: str) -> object:
    if name == "Client":  # imports httpx
        from farm.client import Client

        return Client
    if name == "__version__":
        from importlib.metadata import version

        return version("neural-render-farm")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
