import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from farm.host.executor import Executor, ExecutorOptions

from .nodes import STORE


@pytest.fixture(scope="session")
def start_pool(ray_cluster: Any) -> Callable[..., AbstractContextManager[Executor]]:
    """Start a pool on the tests' cluster and close it after the block."""
    from farm_cluster import make_pool

    @contextmanager
    def start(**options: Any) -> Iterator[Executor]:
        pool = make_pool(ExecutorOptions(**options))
        try:
            pool.start()
            yield pool
        finally:
            pool.close()

    return start


@pytest.fixture
def short_folder() -> Iterator[str]:
    """A folder with a path short enough for Ray's sockets."""
    with TemporaryDirectory(prefix="farm-", ignore_cleanup_errors=True) as folder:
        yield folder


@pytest.fixture
def apart(ray_cluster: Any, tmp_path: Path) -> Iterator[Path]:
    """A folder of which node "apart" has another one: its processes see it empty."""
    folder = tmp_path / "apart"
    folder.mkdir()
    mount = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs tmpfs {folder} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user cannot mount a file system")
    start = ["--address", ray_cluster.address, "--num-cpus=2", "--num-gpus=0", "--node-name=apart"]
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", *start]
    node = subprocess.Popen(
        [*mount, *ray, f"--object-store-memory={STORE}", "--disable-usage-stats"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield folder
    node.terminate()
    node.wait()
