"""The hooks a plugin can implement. Mark each implementation with @hookimpl."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from farm.host.executor import ExecutorFactory
    from farm.host.task import Task
    from farm.model.job import Job
    from farm.model.specs import NetworkSpec
    from farm.model.unit import Unit, UnitState
    from farm.storage import SchemeFactory

hookspec = pluggy.HookspecMarker("farm")
hookimpl = pluggy.HookimplMarker("farm")


@hookspec
def farm_tasks() -> "Iterable[type[Task]]":  # type: ignore[empty-body]
    """Return the task classes that this plugin provides."""


@hookspec
def farm_networks() -> "Iterable[NetworkSpec]":  # type: ignore[empty-body]
    """Return the networks that this plugin adds. `farm networks` lists them."""


@hookspec(firstresult=True)
def farm_network(name: str, find: "Callable[[str], NetworkSpec]") -> "NetworkSpec | None":
    """Return the network of this name, or None.

    find: returns another network by name, for one that is built on it; may be left out. Called only
    for names that no plugin lists in farm_networks. The first answer wins. A UserError reaches the
    user if no plugin knows the name.
    """


@hookspec
def farm_network_names() -> "Iterable[str]":  # type: ignore[empty-body]
    """Return the names that farm_network knows, to suggest when a name is misspelt."""


@hookspec
def farm_executors() -> "Mapping[str, ExecutorFactory]":  # type: ignore[empty-body]
    """Return executor factories by name, for example {"ray": make_pool}."""


@hookspec
def farm_storage() -> "Mapping[str, SchemeFactory]":  # type: ignore[empty-body]
    """Return kinds of storage by the scheme of their URLs, for example {"ftp": FtpStorage}."""


@hookspec
def farm_unit_finished(job: "Job", unit: "Unit", state: "UnitState", reason: str) -> None:
    """React to a unit that reached a final state.

    Called in the controller, after the state is stored. reason: why the unit failed or was
    cancelled; may be empty.
    """


@hookspec
def farm_job_finished(job: "Job") -> None:
    """React to a job that reached a final state. Called in the controller, after it is stored."""
