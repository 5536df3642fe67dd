import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.server import HTTPServer, SimpleHTTPRequestHandler
from textwrap import dedent
from threading import Thread
from time import monotonic
from typing import Any

import psutil
import pytest

from farm.errors import UserError
from farm.host.executor import ExecutorOptions
from farm_cluster.session import connect, prepare_environment


@pytest.fixture
def unconnected(ray_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this process is not connected to a cluster."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


def test_a_private_cluster_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = []
    for _ in range(2):
        monkeypatch.setattr(os, "environ", {})
        prepare_environment(None)
        assert os.environ["RAY_AUTH_MODE"] == "token"
        tokens.append(os.environ["RAY_AUTH_TOKEN"])
    assert len(tokens[0]) == 64
    assert tokens[0] != tokens[1]


@pytest.mark.ray
@pytest.mark.slow
def test_a_dead_address_is_refused_at_once(unconnected: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        began = monotonic()
        with pytest.raises(UserError, match=rf"no Ray cluster answers at {address} \(connection"):
            connect(ExecutorOptions(address=address))
        assert monotonic() - began < 5


@pytest.mark.ray
@pytest.mark.slow
def test_an_unknown_host_is_refused(unconnected: None) -> None:
    with pytest.raises(UserError, match=r"answers at nowhere\.invalid:6379 \(.*ray start --head"):
        connect(ExecutorOptions(address="nowhere.invalid:6379"))


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.1:10001", "10.0.0.1", "host:99999"])
def test_an_address_without_host_and_port_is_refused(unconnected: None, address: str) -> None:
    with pytest.raises(UserError, match=r"--address .*: give HOST:PORT, for example"):
        connect(ExecutorOptions(address=address))


@pytest.fixture
def web_server() -> Iterator[str]:
    """The address of a server that speaks HTTP."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def silent_server() -> Iterator[socket.socket]:
    """A server that accepts connections and says nothing."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server


def address_of(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.ray
@pytest.mark.slow
def test_a_web_server_is_refused(unconnected: None, web_server: str) -> None:
    reason = f"what answers at {web_server} is not a Ray cluster; start one with"
    with pytest.raises(UserError, match=reason):
        connect(ExecutorOptions(address=web_server))


@pytest.mark.ray
@pytest.mark.slow
def test_a_server_that_says_nothing_is_refused(
    unconnected: None, silent_server: socket.socket
) -> None:
    with pytest.raises(UserError, match="is not a Ray cluster"):
        connect(ExecutorOptions(address=address_of(silent_server)))


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_of_another_version_is_refused(
    ray_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray._raylet import GcsClient

    server = GcsClient(address=ray_cluster.address)
    key = (b"CLUSTER_METADATA", b"cluster")
    before = server.internal_kv_get(*key)
    other = json.loads(before) | {"ray_version": "2.1.0"}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    try:
        server.internal_kv_put(key[0], json.dumps(other).encode(), True, key[1])
        with pytest.raises(UserError, match=r"runs Ray 2\.1\.0, but this process runs Ray \d"):
            connect(ExecutorOptions(address=ray_cluster.address))
    finally:
        server.internal_kv_put(key[0], before, True, key[1])


@pytest.mark.ray
@pytest.mark.slow
def test_a_cluster_with_another_token_is_refused(
    ray_cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_AUTH_TOKEN", "1" * 64)
    with pytest.raises(UserError, match="refuses this process's token; set RAY_AUTH_TOKEN to the"):
        connect(ExecutorOptions(address=ray_cluster.address))


CONNECT = dedent("""
    import sys
    from farm.host.executor import ExecutorOptions
    from farm_cluster.session import connect, prepare_environment

    prepare_environment(None)
    try:
        connect(ExecutorOptions(workers=1, address=sys.argv[1] or None))
    except KeyboardInterrupt:
        sys.exit(130)
""")


@pytest.mark.ray
@pytest.mark.slow
def test_ctrl_c_works_while_connecting(silent_server: socket.socket) -> None:
    script = [sys.executable, "-c", CONNECT, address_of(silent_server)]
    with subprocess.Popen(script) as connecting, silent_server.accept()[0]:
        connecting.send_signal(signal.SIGINT)
        began = monotonic()
        assert connecting.wait(60) == 130
        assert monotonic() - began < 4, "it waited for the server"


@pytest.mark.ray
@pytest.mark.slow
def test_ctrl_c_works_while_a_private_cluster_starts(short_folder: str) -> None:
    script = [sys.executable, "-c", CONNECT, ""]
    with subprocess.Popen(script, env=os.environ | {"RAY_TMPDIR": short_folder}) as connecting:
        process = psutil.Process(connecting.pid)
        started: list[psutil.Process] = []
        while not any(map(is_of_a_cluster, started)):
            assert connecting.poll() is None
            started = process.children()
        connecting.send_signal(signal.SIGINT)
        assert connecting.wait(60) == 130
        assert not psutil.wait_procs(started, 30)[1]


def is_of_a_cluster(process: psutil.Process) -> bool:
    """Return whether a process is Ray's own, and not one that told Python of this machine."""
    with suppress(psutil.NoSuchProcess):
        return process.name().startswith("gcs_server")
    return False


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "threads"), [(100_000, 1), (2, 100_000), (None, 100_000)])
def test_more_workers_than_this_machine_can_hold_are_refused(
    unconnected: None, workers: int | None, threads: int
) -> None:
    reason = rf"no room for {workers or 1} workers .* at most \d+ fit on the \d+ cores of this "
    with pytest.raises(UserError, match=reason + ".*lower --workers or --threads"):
        connect(ExecutorOptions(workers=workers, threads=threads))


def test_importing_the_package_does_not_import_ray() -> None:
    code = "import sys, farm_cluster; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_finisher_loads_no_torch() -> None:
    code = """
import sys
from farm_cluster.actor import FarmActor

assert not FarmActor("finish-1", "finish", 1, None, "127.0.0.1").start().refusal
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
