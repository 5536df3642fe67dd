"""Find slots for workers on the nodes of a cluster. Reads Ray's list of nodes, but does not call Ray."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from farm.errors import UserError
from farm.host.executor import ExecutorOptions

__all__ = ["Kind", "Slot", "check_room", "finisher_slots", "kind_of", "no_room", "slots"]

Kind = Literal["cpu", "gpu"]

WORKERS_PER_FINISHER: Final = 8
"""Rendering workers whose films one finisher encodes."""


@dataclass(frozen=True)
class Slot:
    """Room for one worker.

    node: the id that Ray gives it. host: its address. index: number of the slot on its node; those
    of finishers are negative.
    """

    node: str
    node_name: str
    host: str
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
        _slot(node, index)
        for node in nodes
        if node["Alive"]
        for index in range(
            _amount(node, "GPU") if kind == "gpu" else _amount(node, "CPU") // threads
        )
    ]
    return sorted(available, key=lambda slot: (slot.index, slot.node_name, slot.node))


def finisher_slots(nodes: Iterable[Mapping[str, Any]], workers: int, own: str) -> tuple[Slot, ...]:
    """Return the slots of the finishers for this many rendering workers.

    They alternate between nodes, from the node with the id own on.
    """
    alive = [node for node in nodes if node["Alive"]]
    alive.sort(key=lambda node: (node["NodeID"] != own, node["NodeName"], node["NodeID"]))
    count = max(1, workers // WORKERS_PER_FINISHER) if alive else 0
    return tuple(
        _slot(alive[number % len(alive)], -1 - number // len(alive)) for number in range(count)
    )


def check_room(nodes: Iterable[Mapping[str, Any]], kind: Kind, options: ExecutorOptions) -> None:
    """Raise UserError if there is no slot, or if more workers are asked for than there are slots."""
    nodes = list(nodes)
    available = len(slots(nodes, kind, options.threads))
    if not available:
        raise UserError(no_room(nodes, options.threads))
    if (options.workers or 0) > available:
        what = "GPUs" if kind == "gpu" else f"cores with --threads {options.threads}"
        raise UserError(
            f"the cluster has no room for {options.workers} workers: its {what} fit at most "
            f"{available}; lower --workers"
            + ("" if kind == "gpu" else " or --threads")
            + ", or omit --workers to use all"
        )


def no_room(nodes: Iterable[Mapping[str, Any]], threads: int) -> str:
    """Return the message for a cluster without a slot."""
    most = max((_amount(node, "CPU") for node in nodes if node["Alive"]), default=0)
    return (
        f"no node of the cluster has {threads} cores for a worker; "
        f"the largest has {most}; use --threads {max(1, most)} or less"
    )


def _slot(node: Mapping[str, Any], index: int) -> Slot:
    return Slot(node["NodeID"], node["NodeName"], node["NodeManagerAddress"], index)


def _amount(node: Mapping[str, Any], resource: str) -> int:
    return int(node["Resources"].get(resource, 0))
