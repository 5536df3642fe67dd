"""The contract of executors, tested on each of them."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farm.errors import FarmBug
from farm.execution.threads import LocalExecutor
from farm.host.executor import Executor, ExecutorOptions
from farm.host.registry import Registry
from farm.model.messages import (
    Failure,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
)
from farm.storage import sha256_file

from ..fakes import End, FakeExecutor  # noqa: TID252 - shared with the tests of scheduling

MakeOrder = Callable[..., Order]
MakeExecutor = Callable[[], Executor]
BenchOf = Callable[[Executor], Any]


SHARED_CLUSTER = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        "local",
        pytest.param("ray", marks=SHARED_CLUSTER),
    ],
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def make(kind: str, request: pytest.FixtureRequest, effects: Path) -> MakeExecutor:
    return partial(make_executor, kind, request, effects)


def make_executor(kind: str, request: pytest.FixtureRequest, effects: Path) -> Executor:
    """Return an executor with one worker of one thread."""
    if kind == "fake":
        return FakeExecutor(as_the_effects)
    if kind == "local":
        return LocalExecutor(Registry.load(effects))
    request.getfixturevalue("ray_cluster")
    from farm_cluster import make_pool

    return make_pool(ExecutorOptions(workers=1, threads=1, plugins_dir=effects))


def as_the_effects(order: Order) -> End:
    """Return the result that the effect of an order would have."""
    if order.task == "faulty":
        return Failure(Reason.PLUGIN_ERROR, "plugin faulty: KeyError: 'colour'")
    until = order.params.get("until")
    return "hang" if until and not Path(str(until)).exists() else "succeed"


@pytest.fixture(scope="module")
def bench(make: MakeExecutor, bench_of: BenchOf) -> Iterator[Any]:
    executor = make()
    executor.start()
    yield bench_of(executor)
    executor.close()


@pytest.fixture
def waiting(make_order: MakeOrder, tmp_path: Path) -> Order:
    """An order that waits for the file "until"."""
    return make_order("wait", began=str(tmp_path / "began"), until=str(tmp_path / "until"))


def test_a_unit_reports_start_progress_and_success_with_its_file(
    bench: Any, waiting: Order, tmp_path: Path
) -> None:
    bench.assign(waiting)
    assert bench.until(UnitStarted) == UnitStarted(bench.worker, waiting.token)
    progress = bench.until(UnitProgress)
    assert (progress.token, progress.done, progress.note) == (waiting.token, 0.5, "waiting")
    (tmp_path / "until").touch()
    done = bench.until(UnitSucceeded)
    assert (done.worker, done.token) == (bench.worker, waiting.token)
    assert done.figures.target_sha256 == sha256_file(Path(waiting.unit.target))
    assert done.figures.seconds.keys() == {"load", "compute", "write"}


def test_a_failure_gives_its_reason(bench: Any, make_order: MakeOrder) -> None:
    bench.assign(make_order("faulty", how="raise"))
    failed = bench.until(UnitFailed)
    assert failed.failure.reason is Reason.PLUGIN_ERROR
    assert "plugin faulty: KeyError: 'colour'" in failed.failure.message


@pytest.mark.parametrize("how", ["interrupt", "exit", "base"])
def test_an_error_that_would_end_a_process_is_a_failure_of_the_plugin(
    bench: Any, make_order: MakeOrder, how: str
) -> None:
    bench.assign(make_order("faulty", how=how))
    assert bench.until(UnitFailed).failure.reason is Reason.PLUGIN_ERROR


def test_a_worker_takes_orders_after_a_failure(bench: Any, make_order: MakeOrder) -> None:
    bench.assign(make_order("faulty", how="raise"))
    bench.until(UnitFailed)
    bench.assign(make_order("invert"))
    bench.until(UnitSucceeded)


def test_cancelling_stops_the_unit(bench: Any, waiting: Order) -> None:
    bench.assign(waiting)
    bench.until(UnitProgress)
    bench.executor.cancel(bench.worker, waiting.token)
    assert bench.until(UnitCancelled) == UnitCancelled(bench.worker, waiting.token)
    assert not Path(waiting.unit.target).exists()


def test_cancelling_works_before_the_first_progress(bench: Any, waiting: Order) -> None:
    bench.assign(waiting)
    bench.executor.cancel(bench.worker, waiting.token)
    assert bench.until(UnitCancelled).token == waiting.token


def test_cancelling_does_not_stop_the_next_unit(
    bench: Any, waiting: Order, make_order: MakeOrder
) -> None:
    bench.assign(waiting)
    bench.until(UnitProgress)
    bench.executor.cancel(bench.worker, waiting.token)
    bench.until(UnitCancelled)
    bench.assign(make_order("invert"))
    bench.until(UnitSucceeded)


def test_cancelling_an_idle_worker_does_nothing(bench: Any, make_order: MakeOrder) -> None:
    bench.executor.cancel(bench.worker, "lease")
    bench.assign(make_order("invert"))
    bench.until(UnitSucceeded)


def test_a_busy_worker_refuses_a_second_order(
    bench: Any, waiting: Order, make_order: MakeOrder, tmp_path: Path
) -> None:
    bench.assign(waiting)
    with pytest.raises(FarmBug, match=f"{bench.worker} was given .* while"):
        bench.assign(make_order("invert"))
    (tmp_path / "until").touch()
    assert bench.until(UnitSucceeded).token == waiting.token


def test_poll_without_news_returns_no_messages(bench: Any) -> None:
    assert list(bench.executor.poll(0)) == []


def test_a_killed_worker_is_replaced(bench: Any, waiting: Order, make_order: MakeOrder) -> None:
    bench.assign(waiting)
    bench.until(UnitProgress)
    bench.executor.kill(bench.worker)
    bench.executor.cancel(bench.worker, waiting.token)
    bench.assign(make_order("invert"))
    bench.wait_for_successor()
    order = make_order("invert")
    bench.assign(order)
    assert bench.until(UnitSucceeded).token == order.token


def test_closing_twice_is_safe(make: MakeExecutor) -> None:
    executor = make()
    executor.start()
    executor.close()
    executor.close()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.xdist_group("ray")
def test_every_executor_writes_the_same_bytes(
    request: pytest.FixtureRequest, effects: Path, make_order: MakeOrder, bench_of: BenchOf
) -> None:
    order = make_order("grain")
    digests = set()
    for kind in ("local", "ray"):
        executor = make_executor(kind, request, effects)
        executor.start()
        bench = bench_of(executor)
        bench.assign(order)
        digests.add(bench.until(UnitSucceeded).figures.target_sha256)
        executor.close()
    assert len(digests) == 1
