"""Where workers fit on a cluster's nodes. Pure: reads Ray's list of nodes, asks Ray nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Slot", "kind_of", "slots"]

Kind = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Slot:
    """Room for one worker. node: Ray's id of it. index: counts the places of one node."""

    node: str
    node_name: str
    index: int


def kind_of(nodes: Iterable[Mapping[str, Any]]) -> Kind:
    """Return what a pool on these nodes computes on: GPUs where there are any.

    One kind for the whole pool, because equal bytes ask for equal devices.
    """
    return "gpu" if any(_has(node, "GPU") >= 1 for node in nodes if node["Alive"]) else "cpu"


def slots(nodes: Iterable[Mapping[str, Any]], kind: Kind, threads: int) -> list[Slot]:
    """Return the places on nodes that are alive, spread over the nodes first.

    One for each GPU, or for each threads cores.
    """
    found = [
        Slot(node["NodeID"], node["NodeName"], index)
        for node in nodes
        if node["Alive"]
        for index in range(_has(node, "GPU") if kind == "gpu" else _has(node, "CPU") // threads)
    ]
    return sorted(found, key=lambda slot: (slot.index, slot.node_name, slot.node))


def _has(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
