"""List what is installed in a process, to compare the processes of a cluster."""

from hashlib import sha256
from pathlib import Path

import farm
from farm.host.registry import Plugin, Registry

__all__ = ["difference", "inventory"]


def inventory(registry: Registry) -> tuple[str, ...]:
    """Return the version of the farm, and the version and state of every plugin."""
    return (f"farm {farm.__version__}", *sorted(_entry(plugin) for plugin in registry.plugins))


def difference(there: tuple[str, ...], here: tuple[str, ...]) -> str:
    """Describe how the inventory of a worker differs from that of this process."""
    only_there = ", ".join(sorted({*there} - {*here})) or "nothing"
    only_here = ", ".join(sorted({*here} - {*there})) or "nothing"
    return (
        f"differs from this process: {only_there} there, {only_here} here; "
        "install the same versions on both"
    )


def _entry(plugin: Plugin) -> str:
    return f"plugin {plugin.name} {plugin.version or _digest(plugin.source)} {plugin.state}"


def _digest(source: str) -> str:
    """Return a digest that identifies the version of a single-file plugin."""
    path = Path(source)
    return sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "?"
