"""A cluster with an autoscaler grows under demand and is left when idle; others stay as they are."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

TOKEN = "0" * 64
TYPES = {
    "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
    "small": {
        "resources": {"CPU": 1, "object_store_memory": 80 * 2**20},
        "node_config": {},
        "min_workers": 0,
        "max_workers": 2,
    },
}
EMPTY_LISTS = [
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
]

SCRIPT = dedent("""
    import sys
    from pathlib import Path
    from farm.host.executor import ExecutorOptions
    from farm.model.messages import NoWorkers, Room, WorkerJoined, WorkerLost
    from farm_cluster import make_pool

    address, effects = sys.argv[1:]
    options = ExecutorOptions(address=address, plugins_dir=Path(effects))
    pool = make_pool(options)
    from farm_cluster import demand
    from farm_cluster.session import connect

    demand._IDLE_SECONDS = 1.0
    connect(options)
    while not demand.has_autoscaler():  # it has not reported yet
        pass

    def wait(kind, count):
        found = []
        while len(found) < count:
            for message in pool.poll(1.0):
                assert not isinstance(message, NoWorkers), message
                if isinstance(message, kind) and not getattr(message, "worker", "").startswith("finish"):
                    found.append(message)
        return found

    pool.start()
    print("room", wait(Room, 1)[0].workers)
    pool.want(2)
    print("joined", len(wait(WorkerJoined, 2)))
    pool.want(0)
    print("lost", {(lost.reason, lost.is_surplus) for lost in wait(WorkerLost, 2)})
    print("wanted", pool._demand._requested)
    pool.close()
""")


@pytest.fixture
def autoscaled(ray_cluster: Any, short_folder: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a cluster of its own that starts nodes on demand, and its environment."""
    host = ray_cluster.address.rpartition(":")[0]
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    address = f"{host}:{port}"
    config: dict[str, Any] = {
        "cluster_name": "fake",
        "max_workers": 2,
        "provider": {
            "type": "fake_multinode",
            "gcs_address": address,
            "head_node_id": "f" * 51 + "00000",
            "launch_multiple": True,
        },
        "idle_timeout_minutes": 1,
        "upscaling_speed": 1.0,
        "available_node_types": TYPES,
        "head_node_type": "ray.head.default",
        "file_mounts": {},
        "auth": {},
        "docker": {},
    }
    path = Path(short_folder) / "config.json"
    path.write_text(json.dumps(config | {name: [] for name in EMPTY_LISTS}))
    access = {"RAY_TMPDIR": short_folder, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    environment = {key: text for key, text in os.environ.items() if "RAY_" not in key} | access
    quick = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
    start = [Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=0"]
    options = [f"--port={port}", f"--autoscaling-config={path}"]
    light = ["--include-dashboard=false", "--num-gpus=0", f"--object-store-memory={80 * 2**20}"]
    head = subprocess.Popen(
        [*map(str, start), *options, *light, "--disable-usage-stats"],
        env=environment | quick,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not accepts(host, port):
        assert head.poll() is None
    yield address, environment
    started = psutil.Process(head.pid).children(recursive=True)
    head.terminate()
    head.wait()
    for process in psutil.wait_procs(started, 1)[1]:  # the fake nodes do not end with it
        process.kill()


def accepts(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def test_a_cluster_grows_for_waiting_units_and_idle_workers_go(
    autoscaled: tuple[str, dict[str, str]], effects: Path
) -> None:
    address, environment = autoscaled
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, address, str(effects)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stdout.splitlines() == [
        "room 1",
        "joined 2",
        "lost {('the farm needs fewer workers', True)}",
        "wanted 0",
    ], done.stderr


def test_a_cluster_without_an_autoscaler_is_not_taken_for_one_that_grows(ray_cluster: Any) -> None:
    from farm_cluster.demand import has_autoscaler

    assert not has_autoscaler()
