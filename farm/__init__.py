"""A render farm for neural effects: the names that plugin authors and callers import.

Light on purpose: importing it brings neither torch nor anything that starts work.
"""

from typing import TYPE_CHECKING

from farm.errors import (
    BadInput,
    BadOutput,
    BadParameter,
    Cancelled,
    FarmError,
    PluginError,
    UnknownName,
    UserError,
    WeightsMissing,
)
from farm.host.context import Context
from farm.host.hookspecs import hookimpl
from farm.host.task import Effect, Field, FilePath, NetworkParams, Run, Task, TaskParams
from farm.model.specs import NetworkSpec, Previous, Weights

__all__ = [
    "BadInput",
    "BadOutput",
    "BadParameter",
    "Cancelled",
    "Context",
    "Effect",
    "FarmError",
    "Field",
    "FilePath",
    "NetworkParams",
    "NetworkSpec",
    "PluginError",
    "Previous",
    "Run",
    "Task",
    "TaskParams",
    "UnknownName",
    "UserError",
    "Weights",
    "WeightsMissing",
    "__version__",
    "hookimpl",
]

if TYPE_CHECKING:
    __version__: str


def __getattr__(name: str) -> str:
    if name == "__version__":
        from importlib.metadata import version

        return version("neural-render-farm")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
