"""Where workers fit on a cluster's nodes. Pure: reads Ray's list of nodes, asks Ray nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Kind", "Place", "kind_of", "places"]

Kind = Literal["cpu", "gpu"]


@dataclass(frozen=True)
class Place:
    """Room for one worker. node: Ray's id of it. index: counts the places of one node."""

    node: str
    node_name: str
    index: int


def kind_of(nodes: Iterable[Mapping[str, Any]]) -> Kind:
    """Return what a pool on these nodes computes on: GPUs where there are any.

    One kind for the whole pool, because equal bytes ask for equal devices.
    """
    return "gpu" if any(_has(node, "GPU") >= 1 for node in nodes if node["Alive"]) else "cpu"


def places(nodes: Iterable[Mapping[str, Any]], kind: Kind, threads: int) -> list[Place]:
    """Return the places on nodes that are alive, spread over the nodes first.

    One for each GPU, or for each threads cores.
    """
    found = [
        Place(node["NodeID"], node["NodeName"], index)
        for node in nodes
        if node["Alive"]
        for index in range(_has(node, "GPU") if kind == "gpu" else _has(node, "CPU") // threads)
    ]
    return sorted(found, key=lambda place: (place.index, place.node_name, place.node))


def _has(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
