"""Which idle workers a farm lets go."""

from typing import TYPE_CHECKING

import pytest

from farm.host.executor import ExecutorOptions
from farm_cluster.slots import Slot

if TYPE_CHECKING:
    from farm_cluster.member import Member

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def idle(index: int) -> "Member":
    from farm_cluster.member import Member

    slot = Slot("node", "node", "10.0.0.1", index)
    return Member(f"node-{index}", "cpu", slot, actor=None, starting=None, has_joined=True)


@pytest.mark.usefixtures("ray_cluster")
def test_idle_workers_of_a_fixed_cluster_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from farm_cluster.demand import Demand

    monkeypatch.setattr("farm_cluster.demand._IDLE_SECONDS", 0.0)
    demand = Demand(ExecutorOptions(workers=2))
    demand.begin("cpu")
    members = [idle(0), idle(1)]
    assert demand.surplus(members) == []
    for workers in (2, 0, 0):
        demand.want(workers)
    assert demand.surplus(members) == []
