"""Find slots for workers on the nodes of a cluster. Reads Ray's list of nodes, but does not call Ray."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from farm.errors import UserError
from farm.host.executor import ExecutorOptions

__all__ = ["Kind", "Slot", "count_workers", "kind_of", "slots"]

Kind = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Slot:
    """Room for one worker. node: the id that Ray gives it. index: number of the slot on its node."""

    node: str
    node_name: str
    index: int


def kind_of(nodes: Iterable[Mapping[str, Any]]) -> Kind:
    """Return what workers on these nodes compute on: GPUs if there are any.

    All workers use one kind, because equal bytes need equal devices.
    """
    return "gpu" if any(_amount(node, "GPU") >= 1 for node in nodes if node["Alive"]) else "cpu"


def slots(nodes: Iterable[Mapping[str, Any]], kind: Kind, threads: int) -> list[Slot]:
    """Return the slots on nodes that are alive: first one per node, then the next per node.

    A slot has one GPU, or as many cores as threads.
    """
    available = [
        Slot(node["NodeID"], node["NodeName"], index)
        for node in nodes
        if node["Alive"]
        for index in range(
            _amount(node, "GPU") if kind == "gpu" else _amount(node, "CPU") // threads
        )
    ]
    return sorted(available, key=lambda slot: (slot.index, slot.node_name, slot.node))


def count_workers(nodes: Iterable[Mapping[str, Any]], kind: Kind, options: ExecutorOptions) -> int:
    """Return how many workers to start: those asked for, or one per slot.

    Raises UserError if there is no slot, or if more workers are asked for than there are slots.
    """
    nodes = list(nodes)
    available = len(slots(nodes, kind, options.threads))
    if not available:
        most = max(_amount(node, "CPU") for node in nodes if node["Alive"])
        raise UserError(
            f"no node of the cluster has {options.threads} cores for a worker; "
            f"the largest has {most}; use --threads {max(1, most)} or less"
        )
    if (options.workers or 0) > available:
        what = "GPUs" if kind == "gpu" else f"cores with --threads {options.threads}"
        raise UserError(
            f"the cluster has no room for {options.workers} workers: its {what} fit at most "
            f"{available}; lower --workers"
            + ("" if kind == "gpu" else " or --threads")
            + ", or omit --workers to use all"
        )
    return options.workers or available


def _amount(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
