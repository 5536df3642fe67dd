import socket
import subprocess
import sys
from time import monotonic

import pytest

from farm.errors import UserError
from farm.host.executor import ExecutorOptions
from farm_cluster.session import connect


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that this process is not connected to a cluster."""
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)


def test_a_dead_address_is_refused_at_once(unconnected: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        began = monotonic()
        with pytest.raises(UserError, match=rf"no Ray cluster answers at {address} \(connection"):
            connect(ExecutorOptions(address=address))
        assert monotonic() - began < 5


def test_an_unknown_host_is_refused(unconnected: None) -> None:
    with pytest.raises(UserError, match=r"answers at nowhere\.invalid:6379 \(.*ray start --head"):
        connect(ExecutorOptions(address="nowhere.invalid:6379"))


@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.1:10001", "10.0.0.1", "host:99999"])
def test_an_address_without_host_and_port_is_refused(unconnected: None, address: str) -> None:
    with pytest.raises(UserError, match=r"--address .*: give HOST:PORT, for example"):
        connect(ExecutorOptions(address=address))


def test_importing_the_package_does_not_import_ray() -> None:
    code = "import sys, farm_cluster; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
