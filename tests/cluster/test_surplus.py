"""Which idle workers a farm lets go."""

import pytest

from farm.host.executor import ExecutorOptions
from farm_cluster.demand import Demand
from farm_cluster.member import Member
from farm_cluster.slots import Slot


def idle(index: int) -> Member:
    slot = Slot("node", "node", "10.0.0.1", index)
    return Member(f"node-{index}", "cpu", slot, actor=None, starting=None, has_joined=True)


def test_idle_workers_of_a_fixed_cluster_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm_cluster.demand._IDLE_SECONDS", 0.0)
    demand = Demand(ExecutorOptions(workers=2))
    demand.begin("cpu")
    members = [idle(0), idle(1)]
    assert demand.surplus(members) == []
    for workers in (2, 0, 0):
        demand.want(workers)
    assert demand.surplus(members) == []
