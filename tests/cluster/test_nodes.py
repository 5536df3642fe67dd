from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from farm.host.executor import Executor
from farm.model.messages import WorkerJoined, WorkerLost

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
        second = bench.until(WorkerJoined)
        assert second.node == "late"
        ray_cluster.remove_node(node)
        assert bench.until(WorkerLost).worker == second.worker
