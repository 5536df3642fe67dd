from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from farm_cluster.slots import finisher_slots, kind_of, slots

NODES = st.lists(
    st.builds(
        lambda number, alive, cpus, gpus: node(f"n{number}", alive=alive, cpus=cpus, gpus=gpus),
        st.integers(0, 10**6),
        st.booleans(),
        st.integers(0, 16),
        st.integers(0, 4),
    ),
    max_size=6,
    unique_by=lambda node: node["NodeID"],
)


def node(name: str, *, alive: bool = True, cpus: int = 0, gpus: int = 0) -> dict[str, Any]:
    resources = {"CPU": float(cpus), "GPU": float(gpus), "memory": 1e9}
    held = {key: value for key, value in resources.items() if value}
    return {
        "NodeID": name,
        "NodeName": name,
        "NodeManagerAddress": "10.0.0.1",
        "Alive": alive,
        "Resources": held,
    }


@given(NODES, st.integers(1, 8))
def test_a_node_has_one_slot_per_group_of_cores(nodes: list[dict], threads: int) -> None:
    counts = Counter(slot.node for slot in slots(nodes, "cpu", threads))
    for one in nodes:
        cores = one["Resources"].get("CPU", 0) if one["Alive"] else 0
        assert counts[one["NodeID"]] == cores // threads


@given(NODES)
def test_each_gpu_has_one_slot(nodes: list[dict]) -> None:
    alive = sum(one["Resources"].get("GPU", 0) for one in nodes if one["Alive"])
    found = slots(nodes, "gpu", 8)
    assert len(found) == len(set(found)) == alive


def test_slots_alternate_between_nodes() -> None:
    found = slots([node("a", cpus=4), node("b", cpus=4)], "cpu", 2)
    assert [slot.node for slot in found] == ["a", "b", "a", "b"]


def test_a_cluster_with_a_gpu_uses_only_gpus() -> None:
    nodes = [node("head", cpus=8), node("worker", cpus=8, gpus=2)]
    assert kind_of(nodes) == "gpu"
    assert {slot.node for slot in slots(nodes, "gpu", 1)} == {"worker"}


def test_a_gpu_on_a_dead_node_does_not_count() -> None:
    assert kind_of([node("head", cpus=8), node("gone", alive=False, gpus=2)]) == "cpu"


def test_eight_workers_have_one_finisher_and_finishers_are_spread_from_the_own_node_on() -> None:
    nodes = [node("a", cpus=16), node("b", cpus=16), node("gone", alive=False)]
    counts = {workers: len(finisher_slots(nodes, workers, "b")) for workers in (0, 1, 15, 16, 40)}
    assert counts == {0: 1, 1: 1, 15: 1, 16: 2, 40: 5}
    found = finisher_slots(nodes, 40, "b")
    assert [slot.node for slot in found] == ["b", "a", "b", "a", "b"]
    assert len({*found}) == 5
