"""List what is installed in a process, to compare the processes of a cluster."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import farm
from farm.host.registry import Plugin, Registry

__all__ = ["difference", "inventory"]

_PACKAGES: Final = ("torch", "torchvision", "av")
"""Packages whose version changes what is rendered or encoded."""


def inventory(registry: Registry) -> tuple[str, ...]:
    """Return the versions of the farm and of what it computes with, and every plugin's version and state.

    The build suffix of torch's version is left out, because each worker reports its device separately.
    """
    plugins = sorted(_entry(each) for each in registry.plugins if each.state != "hidden")
    return (f"farm {farm.__version__}", *_packages(), *plugins)


def difference(there: tuple[str, ...], here: tuple[str, ...]) -> str:
    """Describe how the inventory of a worker differs from that of this process."""
    only_there = ", ".join(sorted({*there} - {*here})) or "nothing"
    only_here = ", ".join(sorted({*here} - {*there})) or "nothing"
    return (
        f"differs from this process: {only_there} there, {only_here} here; "
        "install the same versions on both"
    )


def _packages() -> Iterator[str]:
    for name in _PACKAGES:
        try:
            yield f"{name} {version(name).partition('+')[0]}"
        except PackageNotFoundError:
            yield f"no {name}"


def _entry(plugin: Plugin) -> str:
    return f"plugin {plugin.name} {plugin.edition} {plugin.state}"
