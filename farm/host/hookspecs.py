"""Every hook a plugin may implement, on one screen."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from farm.host.executor import ExecutorFactory
    from farm.host.task import Task
    from farm.model.job import Job
    from farm.model.specs import NetworkSpec
    from farm.model.unit import Unit, UnitState

hookspec = pluggy.HookspecMarker("farm")
hookimpl = pluggy.HookimplMarker("farm")


@hookspec
def farm_tasks() -> "Iterable[type[Task]]":  # type: ignore[empty-body]
    """Return the task classes this plugin offers."""


@hookspec
def farm_networks() -> "Iterable[NetworkSpec]":  # type: ignore[empty-body]
    """Return the networks this plugin adds; `farm networks` lists them."""


@hookspec(firstresult=True)
def farm_network(name: str) -> "NetworkSpec | None":
    """Return a network that no plugin lists, or None. The first answer wins."""


@hookspec
def farm_network_names() -> "Iterable[str]":  # type: ignore[empty-body]
    """Return the names that farm_network answers, to suggest when a name is misspelt."""


@hookspec
def farm_executors() -> "Mapping[str, ExecutorFactory]":  # type: ignore[empty-body]
    """Return executors by name, for example {"ray": make_pool}."""


@hookspec
def farm_unit_finished(job: "Job", unit: "Unit", state: "UnitState", reason: str) -> None:
    """Hear that a unit reached a final state. Called in the controller, after it is stored."""


@hookspec
def farm_job_finished(job: "Job") -> None:
    """Hear that a job reached a final state. Called in the controller, after it is stored."""
