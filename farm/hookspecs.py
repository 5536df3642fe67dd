"""Every hook a plugin may implement, on one screen."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from farm.executor import ExecutorFactory
    from farm.job import Job, Unit, UnitState
    from farm.task import NetworkSpec, Task

hookspec = pluggy.HookspecMarker("farm")
hookimpl = pluggy.HookimplMarker("farm")


@hookspec
def farm_tasks() -> "Iterable[type[Task]]":  # type: ignore[empty-body]
    """Return the task classes this plugin offers."""


@hookspec
def farm_networks() -> "Iterable[NetworkSpec]":  # type: ignore[empty-body]
    """Return the networks this plugin adds."""


@hookspec
def farm_executors() -> "Mapping[str, ExecutorFactory]":  # type: ignore[empty-body]
    """Return executors by name, for example {"ray": make_pool}."""


@hookspec
def farm_unit_finished(job: "Job", unit: "Unit", state: "UnitState", reason: str) -> None:
    """Hear that a unit reached a final state. Called in the controller, after it is stored."""


@hookspec
def farm_job_finished(job: "Job") -> None:
    """Hear that a job reached a final state. Called in the controller, after it is stored."""
