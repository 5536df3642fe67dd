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

Subclass Run for a task that trains, and return a NetworkSpec from farm_networks to add a network.
farm.testing checks an effect in a plugin's own tests. Client gives jobs to a farm that runs as a
service. Importing farm neither imports torch nor
starts any work.
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
from farm.host.task import Effect, Field, FilePath, NetworkParams, Run, Task, TaskParams
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
    "NetworkParams",
    "NetworkSpec",
    "Part",
    "PictureSet",
    "PluginError",
    "Previous",
    "Run",
    "Sampler",
    "Task",
    "TaskParams",
    "UnknownName",
    "UserError",
    "Weights",
    "WeightsMissing",
    "__version__",
    "hookimpl",
    "input_path",
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
