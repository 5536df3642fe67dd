import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from farm.errors import UserError
from farm.host.executor import Executor, ExecutorOptions
from farm.model.messages import (
    NoWorkers,
    Order,
    UnitProgress,
    UnitSucceeded,
    WorkerAlive,
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
)

from .nodes import listen, until
from .plugin import PLUGIN

BenchOf = Callable[[Executor], Any]
StartPool = Callable[..., AbstractContextManager[Executor]]
MakeOrder = Callable[..., Order]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def bench(start_pool: StartPool, effects: Path, bench_of: BenchOf) -> Iterator[Any]:
    with start_pool(workers=1, plugins_dir=effects) as pool:
        yield bench_of(pool)


def test_a_process_killed_in_a_frame_does_not_change_the_result(
    bench: Any, make_order: MakeOrder, tmp_path: Path
) -> None:
    began, until = tmp_path / "began", tmp_path / "until"
    order = make_order("wait", began=str(began), until=str(until))
    bench.assign(order)
    bench.until(UnitProgress)
    os.kill(int(began.read_text()), signal.SIGKILL)
    bench.wait_for_successor()
    assert not list(Path(order.unit.target).parent.glob("*"))
    until.touch()
    digests = set()
    for _ in range(2):
        bench.assign(order)
        digests.add(bench.until(UnitSucceeded).figures.target_sha256)
    assert len(digests) == 1


def test_a_frame_that_crashes_its_process_can_be_retried(
    bench: Any, make_order: MakeOrder, tmp_path: Path
) -> None:
    order = make_order("crash", marker=str(tmp_path / "marker"))
    bench.assign(order)
    bench.wait_for_successor()
    bench.assign(order)
    assert bench.until(UnitSucceeded).worker == bench.worker


def test_the_death_of_an_idle_worker_is_noticed(
    bench: Any, make_order: MakeOrder, tmp_path: Path
) -> None:
    began, until = tmp_path / "began", tmp_path / "until"
    until.touch()
    bench.assign(make_order("wait", began=str(began), until=str(until)))
    bench.until(UnitSucceeded)
    os.kill(int(began.read_text()), signal.SIGKILL)
    bench.wait_for_successor()


def test_a_worker_too_large_for_every_node_is_refused(start_pool: StartPool) -> None:
    reason = r"no node .* has 64 cores for a worker; the largest has 2; use --threads 2 or less"
    with pytest.raises(UserError, match=reason), start_pool(threads=64):
        pass


def test_a_worker_with_different_plugins_is_refused_by_name(
    ray_cluster: Any, tmp_path: Path
) -> None:
    from farm_cluster import make_pool

    plugin = tmp_path / "own.py"
    plugin.write_text(PLUGIN)
    pool = make_pool(ExecutorOptions(workers=1, plugins_dir=tmp_path))
    plugin.write_text(PLUGIN + "# changed\n")
    pool.start()
    reason = r"worker [a-z]+-\d on node .* differs from this process: plugin own \w+ loaded there, plugin own"
    messages = listen(pool)
    assert re.match(reason, until(messages, WorkerRefused).reason)
    assert re.match(reason, until(messages, NoWorkers).reason)
    pool.close()


def test_a_worker_says_what_it_is_and_that_it_lives(start_pool: StartPool, effects: Path) -> None:
    from farm.engine.rendered import device_kind

    with start_pool(workers=1, plugins_dir=effects) as pool:
        joined: dict[str, WorkerJoined] = {}
        while len(joined) < 2:
            joined |= {m.kind: m for m in pool.poll(1.0) if isinstance(m, WorkerJoined)}
        assert until(listen(pool), WorkerAlive).worker in {
            worker.worker for worker in joined.values()
        }
    renderer = joined["cpu"]
    assert {kind: one.device for kind, one in joined.items()} == {
        "cpu": device_kind("cpu"),
        "finish": "",
    }
    assert renderer.threads == 1
    assert renderer.memory > 2**20
    assert any(entry.startswith("torch ") for entry in renderer.installed)


def test_workers_of_a_fixed_cluster_stay_however_few_are_wanted(
    ray_cluster: Any,
    start_pool: StartPool,
    effects: Path,
    make_order: MakeOrder,
    bench_of: BenchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farm_cluster.demand._IDLE_SECONDS", 0.0)
    with start_pool(workers=1, plugins_dir=effects, address=ray_cluster.address) as pool:
        bench = bench_of(pool)
        pool.want(1)
        pool.want(0)
        bench.until(WorkerAlive)
        bench.assign(make_order("invert"))
        assert isinstance(bench.until(UnitSucceeded | WorkerLost), UnitSucceeded)


def test_more_workers_than_the_cluster_can_hold_are_refused(start_pool: StartPool) -> None:
    reason = "no room for 100000 workers: .* fit at most 2; lower --workers or --threads"
    with pytest.raises(UserError, match=reason), start_pool(workers=100_000):
        pass


def test_workers_that_cannot_start_are_tried_again_until_they_can(
    start_pool: StartPool, tmp_path: Path
) -> None:
    fatal = f"if os.getpid() != {os.getpid()} and os.path.exists({str(tmp_path / 'fatal')!r}): os._exit(3)\n"
    (tmp_path / "fatal").touch()
    (tmp_path / "own.py").write_text(PLUGIN + fatal)
    with start_pool(workers=1, plugins_dir=tmp_path) as pool:
        messages = listen(pool)
        reason = until(messages, NoWorkers).reason
        assert reason.startswith("no worker can start on the cluster: its process exited")
        (tmp_path / "fatal").unlink()
        assert until(messages, WorkerJoined).kind


SCRIPT = dedent("""
    import signal, sys
    from pathlib import Path
    from farm.host.executor import ExecutorOptions
    from farm.model.messages import Order, UnitSucceeded, WorkerJoined
    from farm.model.job import Plan
    from farm.model.unit import Unit
    from farm_cluster import make_pool

    def until(kind):
        while True:
            for message in pool.poll(1.0):
                if isinstance(message, kind) and getattr(message, "kind", "") != "finish":
                    return message

    def handler(*_):
        pass

    effects, target, address = sys.argv[1:]
    signal.signal(signal.SIGTERM, handler)
    pool = make_pool(ExecutorOptions(1, 1, address or None, Path(effects)))
    pool.start()
    assert signal.getsignal(signal.SIGTERM) is handler
    unit = Unit("job", "one", "blank:8x6:#336699", target)
    pool.assign([until(WorkerJoined).worker], Order(unit, 1, "lease", "invert", {}, Plan()))
    until(UnitSucceeded)
    pool.close()
""")


def run_script(
    *arguments: object, script: str = SCRIPT, **environment: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={key: value for key, value in os.environ.items() if "RAY_" not in key} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_a_private_cluster_prints_and_leaves_nothing_and_respects_signals_and_home(
    effects: Path, tmp_path: Path, short_folder: str
) -> None:
    target = tmp_path / "one.png"
    done = run_script(effects, target, "", HOME="/proc/nowhere", RAY_TMPDIR=short_folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert target.exists()
    assert [path for path in Path(short_folder).rglob("*") if path.name != "ray"] == []


ENDED = dedent("""
    import psutil
    from farm.host.executor import ExecutorOptions
    from farm.model.messages import NoWorkers, WorkerJoined
    from farm_cluster import make_pool

    pool = make_pool(ExecutorOptions(1, 1))
    pool.start()
    while not any(isinstance(message, WorkerJoined) for message in pool.poll(1.0)):
        pass
    for process in psutil.Process().children(recursive=True):
        if process.name() == "raylet":
            process.kill()
    while not (none := [m for m in pool.poll(1.0) if isinstance(m, NoWorkers)]):
        pass
    print(none[0].reason)
    pool.close()
""")


def test_a_pool_whose_private_cluster_ends_says_so_at_once(short_folder: str) -> None:
    done = run_script(script=ENDED, RAY_TMPDIR=short_folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "Ray has ended on this machine, and the workers with it; use --resume\n"


def test_a_pool_joins_a_cluster_by_address(
    ray_cluster: Any, effects: Path, tmp_path: Path, short_folder: str
) -> None:
    target = tmp_path / "one.png"
    secret = {"RAY_AUTH_TOKEN": os.environ["RAY_AUTH_TOKEN"], "RAY_TMPDIR": short_folder}
    done = run_script(effects, target, ray_cluster.address, **secret)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert target.exists()
