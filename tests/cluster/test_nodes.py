"""Workers on several nodes, which may differ."""

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.engine.rendered import device_kind
from farm.host.executor import Executor
from farm.model.job import Plan
from farm.model.messages import (
    NoWorkers,
    Order,
    Reason,
    Room,
    UnitFailed,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
)

from .nodes import added_node, listen, until
from .plugin import PLUGIN

BenchOf = Callable[[Executor], Any]
StartPool = Callable[..., AbstractContextManager[Executor]]
MakeOrder = Callable[..., Order]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_workers_join_and_leave_with_their_nodes(
    ray_cluster: Any,
    start_pool: Callable[..., AbstractContextManager[Executor]],
    effects: Path,
    bench_of: Callable[[Executor], Any],
) -> None:
    with start_pool(threads=2, plugins_dir=effects) as pool:
        bench = bench_of(pool)
        late = {"num_cpus": 2, "node_name": "late", "object_store_memory": 80 * 2**20}
        node = ray_cluster.add_node(include_log_monitor=False, **late)
        assert bench.until(Room).workers == 2
        second = bench.until(WorkerJoined)
        assert second.node == "late"
        ray_cluster.remove_node(node)
        assert bench.until(WorkerLost).worker == second.worker
        assert bench.until(Room).workers == 1


def test_a_late_worker_with_different_plugins_is_refused_and_the_others_go_on(
    ray_cluster: Any,
    start_pool: StartPool,
    make_order: MakeOrder,
    tmp_path: Path,
    bench_of: BenchOf,
) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "own.py").write_text(PLUGIN)
    with start_pool(threads=2, plugins_dir=plugins) as pool:
        bench = bench_of(pool)
        (plugins / "own.py").write_text(PLUGIN + "# changed\n")
        with added_node(ray_cluster, "late", num_cpus=2):
            refused = bench.until(WorkerRefused)
            assert f"worker {refused.worker} on node late differs" in refused.reason
            bench.assign(replace(make_order("own"), plan=Plan(threads=2)))
            assert bench.until(UnitSucceeded).worker == bench.worker


def test_a_gpu_that_torch_cannot_use_is_refused(ray_cluster: Any, start_pool: StartPool) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU of this machine")
    reason = r"worker ray-\d+ on node fast cannot start: it was given a GPU, but its torch finds no"
    with added_node(ray_cluster, "fast", num_cpus=0, num_gpus=2), start_pool() as pool:
        messages = listen(pool)
        assert re.match(reason, until(messages, WorkerRefused).reason)
        assert re.match(reason, until(messages, NoWorkers).reason)


def joined_on(pool: Executor, *nodes: str) -> dict[str, str]:
    """Wait for a rendering worker on each node; return their names."""
    found: dict[str, str] = {}
    while not {*nodes} <= found.keys():
        for message in pool.poll(1.0):
            if isinstance(message, WorkerJoined) and message.kind != "finish":
                found[message.node] = message.worker
    return found


def test_a_worker_that_does_not_see_the_output_folder_or_an_input_refuses_the_order(
    apart: Path, start_pool: StartPool, effects: Path, make_order: MakeOrder, bench_of: BenchOf
) -> None:
    with start_pool(threads=2, plugins_dir=effects) as pool:
        worker = joined_on(pool, "apart")["apart"]
        order = replace(make_order("invert"), plan=Plan(threads=2))
        shared = replace(
            order, unit=replace(order.unit, target=str(apart.parent / "out" / "a.png"))
        )
        split = replace(order, unit=replace(order.unit, target=str(apart / "out" / "a.png")))
        (apart / "in.png").write_bytes(b"any")
        blind = replace(shared, unit=replace(shared.unit, source=str(apart / "in.png")))

        for refused, path in ((split, apart / "out"), (blind, apart / "in.png")):
            failure = answer(pool, [worker], refused).failure
            assert failure.reason is Reason.WORKER_LOST
            assert not failure.is_fatal
            assert f"{path} is not shared: node apart cannot see it" in failure.message
        assert not list((apart / "out").iterdir()), "a mark remains"
        assert isinstance(answer(pool, [worker], shared), UnitSucceeded)


def test_all_workers_look_for_a_folder_that_the_first_one_has_seen(
    ray_cluster: Any, apart: Path, start_pool: StartPool, effects: Path, make_order: MakeOrder
) -> None:
    here = ray_cluster.head_node.node_ip_address
    with start_pool(threads=2, plugins_dir=effects) as pool:
        joined = joined_on(pool, "apart", here)
        order = replace(make_order("invert"), plan=Plan(threads=2))
        order = replace(order, unit=replace(order.unit, target=str(apart / "out" / "a.png")))
        assert isinstance(answer(pool, [joined[here]], order), UnitSucceeded)
        failure = answer(pool, [joined[here], joined["apart"]], order).failure
    assert (failure.reason, failure.is_fatal) == (Reason.USER_ERROR, True)
    assert f"{apart / 'out'} is not shared: node apart cannot see it" in failure.message
    assert [path.name for path in (apart / "out").iterdir()] == ["a.png"]


def answer(pool: Executor, workers: Sequence[str], order: Order) -> Any:
    """Return how an order ends that these workers share."""
    pool.assign(workers, order)
    while True:
        for message in pool.poll(1.0):
            if isinstance(message, UnitSucceeded | UnitFailed):
                return message


def test_a_worker_on_a_node_with_other_instructions_names_another_device(
    ray_cluster: Any, start_pool: StartPool, effects: Path
) -> None:
    old = {"ATEN_CPU_CAPABILITY": "default"}
    with (
        added_node(ray_cluster, "old", num_cpus=2, env_vars=old),
        start_pool(threads=2, plugins_dir=effects) as pool,
    ):
        devices: dict[str, str] = {}
        while len(devices) < 2:
            for message in pool.poll(1.0):
                if isinstance(message, WorkerJoined) and message.kind == "cpu":
                    devices[message.node] = message.device
    assert devices.pop("old").startswith("cpu DEFAULT")
    assert set(devices.values()) == {device_kind("cpu")}
