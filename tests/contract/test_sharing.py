"""The contract of executors for orders that several workers share."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farm.errors import FarmBug
from farm.host.executor import Executor, ExecutorOptions
from farm.model.messages import (
    Order,
    Room,
    UnitCancelled,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.storage import sha256_file

from ..fakes import End, FakeExecutor  # noqa: TID252 - shared with the tests of scheduling

MakeOrder = Callable[..., Order]
BenchOf = Callable[..., Any]

SHARED_CLUSTER = [pytest.mark.ray, pytest.mark.slow, pytest.mark.xdist_group("ray")]


@pytest.fixture(scope="module", params=["fake", pytest.param("ray", marks=SHARED_CLUSTER)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def make(kind: str, request: pytest.FixtureRequest, effects: Path) -> Callable[[], Executor]:
    """Make an executor with two workers of one thread."""
    if kind == "fake":
        return partial(FakeExecutor, until_the_file_appears, 2)
    request.getfixturevalue("ray_cluster")
    from farm_cluster import make_pool

    return partial(make_pool, ExecutorOptions(workers=2, threads=1, plugins_dir=effects))


def until_the_file_appears(order: Order) -> End:
    until = order.params.get("until")
    return "hang" if until and not Path(str(until)).exists() else "succeed"


@pytest.fixture(scope="module")
def pair(make: Callable[[], Executor], bench_of: BenchOf) -> Iterator[Any]:
    executor = make()
    executor.start()
    yield bench_of(executor, 2)
    executor.close()


@pytest.fixture
def waiting(make_order: MakeOrder, tmp_path: Path) -> Order:
    """An order whose workers meet again and again until the file "until" appears."""
    return make_order("together", began=str(tmp_path / "began"), until=str(tmp_path / "until"))


def serve_alone(pair: Any, make_order: MakeOrder) -> None:
    """Let each worker finish an order of its own."""
    orders = {worker: make_order("invert") for worker in pair.workers}
    for worker, order in orders.items():
        pair.executor.assign([worker], order)
    done = [pair.until(UnitSucceeded) for _ in orders]
    assert {message.worker: message.token for message in done} == {
        worker: order.token for worker, order in orders.items()
    }


def test_the_first_of_two_workers_reports_and_both_serve_alone_afterwards(
    pair: Any, waiting: Order, make_order: MakeOrder, tmp_path: Path
) -> None:
    pair.share(waiting)
    assert pair.until(UnitStarted) == UnitStarted(pair.worker, waiting.token)
    assert pair.until(UnitProgress).worker == pair.worker
    (tmp_path / "until").touch()
    done = pair.until(UnitSucceeded)
    assert (done.worker, done.token) == (pair.worker, waiting.token)
    assert done.figures.target_sha256 == sha256_file(Path(waiting.unit.target))
    serve_alone(pair, make_order)


def test_any_worker_may_be_the_first(pair: Any, waiting: Order, tmp_path: Path) -> None:
    (tmp_path / "until").touch()
    pair.executor.assign(pair.workers[::-1], waiting)
    assert pair.until(UnitSucceeded).worker == pair.workers[1]


def test_cancelling_stops_all_of_them(pair: Any, waiting: Order, make_order: MakeOrder) -> None:
    pair.share(waiting)
    pair.until(UnitProgress)
    pair.executor.cancel(pair.worker, waiting.token)
    assert pair.until(UnitCancelled) == UnitCancelled(pair.worker, waiting.token)
    assert not Path(waiting.unit.target).exists()
    serve_alone(pair, make_order)


def test_cancelling_works_before_the_first_progress(
    pair: Any, waiting: Order, make_order: MakeOrder
) -> None:
    pair.share(waiting)
    pair.executor.cancel(pair.worker, waiting.token)
    assert pair.until(UnitCancelled) == UnitCancelled(pair.worker, waiting.token)
    serve_alone(pair, make_order)


def test_none_of_them_takes_a_second_order(
    pair: Any, waiting: Order, make_order: MakeOrder, tmp_path: Path
) -> None:
    pair.share(waiting)
    for worker in pair.workers:
        with pytest.raises(FarmBug, match=f"{worker} was given .* while"):
            pair.executor.assign([worker], make_order("invert"))
    (tmp_path / "until").touch()
    assert pair.until(UnitSucceeded).token == waiting.token


@pytest.mark.parametrize("victim", [0, 1])
def test_if_one_of_them_is_lost_the_other_serves_again_at_once(
    pair: Any, waiting: Order, make_order: MakeOrder, victim: int
) -> None:
    pair.share(waiting)
    pair.until(UnitProgress)
    lost, other = pair.workers[victim], pair.workers[1 - victim]
    pair.executor.kill(lost)
    order = make_order("invert")
    pair.executor.assign([other], order)
    assert pair.until(WorkerLost).worker == lost
    news = [pair.until(WorkerJoined | UnitSucceeded) for _ in range(2)]
    done, joined = sorted(news, key=lambda message: isinstance(message, WorkerJoined))
    assert (done.worker, done.token) == (other, order.token)
    pair.workers, pair.worker = [other, joined.worker], other
    serve_alone(pair, make_order)


def test_an_order_for_a_worker_that_is_gone_is_ignored(
    pair: Any, waiting: Order, make_order: MakeOrder
) -> None:
    gone, other = pair.workers
    pair.executor.kill(gone)
    pair.share(waiting)
    pair.until(WorkerLost)
    pair.workers = [other, pair.next_renderer()]
    pair.worker = other
    serve_alone(pair, make_order)


def test_an_executor_says_how_many_workers_it_has_room_for(
    make: Callable[[], Executor], bench_of: BenchOf
) -> None:
    executor = make()
    executor.start()
    rooms: list[int] = []
    while not rooms:
        rooms += [m.workers for m in executor.poll(1.0) if isinstance(m, Room)]
    executor.close()
    assert rooms == [2]
