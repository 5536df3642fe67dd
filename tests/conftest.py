"""What every test may ask for."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import settings

from farm.execution.spinning import spin_briefly
from farm.host.executor import Executor
from farm.model.job import Plan
from farm.model.messages import Message, Order, WorkerJoined, WorkerLost
from farm.model.unit import Unit
from farm.storage import add_schemes, files_below, input_path, open_whole

from .fake_storage import farm_storage

LEASES = count(1)

GROUPS = {"ray_cluster": "ray", "ceph": "ceph"}
"""Fixtures that start much, and the group of their tests: one process runs it, so they start once."""

spin_briefly()  # the processes of a test run share the cores

settings.register_profile("farm", deadline=None)  # a busy machine is not a failure
settings.load_profile("farm")


def pytest_configure() -> None:
    """Let signals reach the commands that tests start, also if the tests run in the background.

    A shell starts background processes with SIGINT ignored, nohup with SIGHUP; a process inherits
    that, and the farm respects it.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run all tests of a fixture that starts much."""
    for item in items:
        for fixture in GROUPS.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(GROUPS[fixture]))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures and weights, where the checkout has them beside it."""
    folder = Path(os.environ.get("FARM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set FARM_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def effects() -> Path:
    """A plugins folder of effects that behave, wait, break and die."""
    return Path(__file__).parent / "effects"


@dataclass(frozen=True)
class FolderStorage:
    """An empty place in a remote storage that is really a folder. root: its URL."""

    root: str

    def put(self, name: str, content: bytes = b"content") -> str:
        """Write a file; return its URL."""
        with open_whole(f"{self.root}/{name}") as file:
            file.write(content)
        return f"{self.root}/{name}"

    def get(self, name: str) -> bytes:
        return input_path(f"{self.root}/{name}").read_bytes()

    def names(self) -> list[str]:
        found = (entry.url.removeprefix(f"{self.root}/") for entry in files_below(self.root))
        return sorted(found)


@pytest.fixture
def folder_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderStorage:
    """A remote storage for this process, with copies of its own."""
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    add_schemes(farm_storage())
    return FolderStorage(f"folder://{tmp_path}/storage")


@pytest.fixture
def make_order(tmp_path: Path) -> Callable[..., Order]:
    """Make an order for a small picture: ``make_order(task, **params)``."""

    def make(task: str, **params: object) -> Order:
        lease = f"lease-{next(LEASES)}"
        target = str(tmp_path / "out" / f"{lease}.png")
        return Order(
            Unit("job", lease, "blank:32x24:#804020", target), 1, lease, task, params, Plan()
        )

    return make


class Bench:
    """An executor of one rendering worker or several, and how a test waits for it."""

    def __init__(self, executor: Executor, workers: int = 1) -> None:
        self.executor = executor
        self._unread: deque[Message] = deque()
        self.workers = [self.next_renderer() for _ in range(workers)]
        self.worker = self.workers[0]

    def assign(self, order: Order) -> None:
        self.executor.assign([self.worker], order)

    def share(self, order: Order) -> None:
        """Let all workers share an order."""
        self.executor.assign(self.workers, order)

    def until(self, kind: type[Message]) -> Any:
        """Return the next message of this kind, passing over others."""
        passed: list[Message] = []
        for _ in range(90):
            while self._unread:
                passed.append(self._unread.popleft())
                if isinstance(passed[-1], kind):
                    return passed[-1]
            self._unread.extend(self.executor.poll(1.0))
        raise AssertionError(f"no {kind.__name__} in 90 s, but {passed}")

    def next_renderer(self) -> str:
        """Return the next worker that joins and is not there to finish alone."""
        while True:
            joined = self.until(WorkerJoined)
            if joined.kind != "finish":
                return str(joined.worker)

    def wait_for_successor(self) -> None:
        assert self.until(WorkerLost).worker == self.worker
        before, self.worker = self.worker, self.next_renderer()
        assert self.worker != before


@pytest.fixture(scope="session")
def bench_of() -> type[Bench]:
    """Wait for an executor's first workers: ``bench_of(executor, workers)``."""
    return Bench


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist gives out tests
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse tests whose modules import Ray, which reads its token then, and groups that are lost."""
    if "ray" in sys.modules:
        raise pytest.UsageError("a module of tests imports Ray; import it in the test, marked ray")
    if getattr(session.config.option, "loadgroup", False):  # in a process of pytest-xdist
        grouped = (item for item in session.items if item.get_closest_marker("xdist_group"))
        is_found = all("@" in item.nodeid for item in grouped)
        assert is_found, "pytest-xdist finds no groups in this pytest; run: make .venv/.ok"


@pytest.fixture(autouse=True)
def ray_comes_with_its_token(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that imports Ray before its token is set: no cluster could start in this process."""
    is_there = "ray" in sys.modules
    yield
    assert is_there or "ray" not in sys.modules or "ray_cluster" in request.fixturenames, (
        "let a test that imports Ray use ray_cluster, which sets its token first"
    )


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """One Ray cluster for all tests, of one node with two cores; nodes may be added.

    The process is connected to it, so that every pool uses it and leaves it running.
    """
    from farm_cluster.session import prepare_environment

    with TemporaryDirectory(prefix="farm-") as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        prepare_environment(None)
        import ray
        from ray.cluster_utils import Cluster

        store = 80 * 2**20
        head = {"num_cpus": 2, "include_dashboard": False, "object_store_memory": store}
        quick = {"no_monitor": True, "include_log_monitor": False}
        cluster = Cluster(initialize_head=True, head_node_args=head | quick)
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        ray.init(address=cluster.address, namespace="tests", **quiet)
        yield cluster
        ray.shutdown()
        cluster.shutdown()
