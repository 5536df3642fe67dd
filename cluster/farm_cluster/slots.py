"""Find slots for workers on the nodes of a cluster. Reads Ray's list of nodes, but does not call Ray."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Slot", "kind_of", "slots"]

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


def _amount(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
