"""Workers that share a unit: they render the same bytes as one, and come out of it as they were."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.host.executor import Executor
from farm.model.job import Plan
from farm.model.messages import (
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
)
from farm.model.unit import Unit
from farm.model.work import Train
from farm.scheduling.policy import Policy

from .runs import draw, losses, renderers, run_on_one, run_together, with_target_in

MakeOrder = Callable[..., Order]
StartPool = Callable[..., AbstractContextManager[Executor]]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def module_pair(
    start_pool: StartPool, effects: Path, bench_of: Callable[..., Any]
) -> Iterator[Any]:
    with start_pool(workers=2, plugins_dir=effects) as pool:
        yield bench_of(pool, 2)


@pytest.fixture
def pair(module_pair: Any) -> Any:
    """Two workers of the tests' cluster; a test that loses one waits for the next."""
    yield module_pair
    module_pair.worker = module_pair.workers[0]


@pytest.fixture
def still(tmp_path: Path) -> Order:
    """A dream of four tiles."""
    source = draw(tmp_path / "still.png", 1, side=150)
    unit = Unit("job", "still", source, str(tmp_path / "one" / "still.png"))
    return Order(unit, 1, "still", "dream", {"octaves": 2, "iterations": 2}, Plan(tile=80))


@pytest.fixture
def training(tmp_path: Path) -> Order:
    for seed in range(3):
        draw(tmp_path / "photos" / f"{seed}.png", seed)
    work = Train((draw(tmp_path / "style.png", 9),))
    unit = Unit("job", "train", "", str(tmp_path / "one" / "generator.safetensors"), work=work)
    quick = {"width": 4, "blocks": 1, "side": 64, "style_side": 96, "batch": 3, "every": 2}
    params = {**quick, "steps": 4, "photos": str(tmp_path / "photos")}
    return Order(unit, 1, f"training {tmp_path}", "train-style", params, Plan())


def endless(training: Order) -> Order:
    return replace(training, params={**training.params, "steps": 100_000})


def replace_lost(pair: Any, lost: str) -> None:
    """Wait for the worker that takes the place of one that was lost."""
    pair.workers = [worker for worker in pair.workers if worker != lost] + [pair.next_renderer()]
    pair.worker = pair.workers[0]


def pid_of(pair: Any, worker: str, make_order: MakeOrder, folder: Path) -> int:
    """Let a worker render alone; return the id of its process."""
    began, until = folder / f"{worker}-began", folder / "until"
    until.touch()
    pair.executor.assign([worker], make_order("wait", began=str(began), until=str(until)))
    assert pair.until(UnitSucceeded | UnitFailed | WorkerLost).worker == worker
    return int(began.read_text())


def test_two_workers_render_the_same_bytes_as_one(pair: Any, still: Order, tmp_path: Path) -> None:
    one, progress = run_on_one(still), []
    both = with_target_in(still, tmp_path / "both")
    two = run_together(pair, both, lambda message: progress.append(message.done)).figures
    assert two.target_sha256 == one.target_sha256
    assert Path(both.unit.target).read_bytes() == Path(still.unit.target).read_bytes()
    assert (two.tiles, two.overlap_pixels) == (one.tiles, one.overlap_pixels)
    assert [path.name for path in (tmp_path / "both").iterdir()] == ["still.png"]


def test_two_workers_resume_a_run_of_one(pair: Any, training: Order, tmp_path: Path) -> None:
    run_on_one(training)
    first, second = tmp_path / "one", tmp_path / "both"
    (second / "checkpoints").mkdir(parents=True)
    checkpoint = first / "checkpoints" / "step-00000002.safetensors"
    (second / "checkpoints" / checkpoint.name).write_bytes(checkpoint.read_bytes())
    (second / "log.jsonl").write_bytes((first / "log.jsonl").read_bytes())

    run_together(pair, with_target_in(training, second))

    assert (second / "generator.safetensors").is_file()
    assert not list(second.glob(".*")), "temporary files remain"
    ours, theirs = losses(second), losses(first)
    assert [line["step"] for line in ours] == [1, 2, 3, 4]
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("style", "content", "smoothness", "deviation"):
            assert mine[name] == pytest.approx(other[name], rel=1e-3)

    changed = replace(with_target_in(training, second), params={**training.params, "rate": 0.5})
    failure = run_together(pair, changed).failure
    assert failure.reason is Reason.USER_ERROR
    assert "belongs to another run: rate was 0.002 and is now 0.5" in failure.message


def test_a_run_that_is_cancelled_leaves_a_checkpoint_and_both_workers(
    pair: Any, training: Order, make_order: MakeOrder, tmp_path: Path
) -> None:
    order = replace(endless(training), params={**endless(training).params, "every": 100_000})

    def cancel(_: UnitProgress) -> None:
        pair.executor.cancel(pair.worker, order.token)

    assert run_together(pair, order, cancel) == UnitCancelled(pair.worker, order.token)
    steps = len(losses(Path(order.unit.target).parent))
    assert (tmp_path / "one" / "checkpoints" / f"step-{steps:08}.safetensors").is_file()
    assert len({pid_of(pair, worker, make_order, tmp_path) for worker in pair.workers}) == 2


def test_a_killed_process_is_a_lost_worker_and_the_run_resumes(pair: Any, training: Order) -> None:
    killed: list[int] = []

    def kill(message: UnitProgress) -> None:
        if message.note.startswith("step") and not killed:
            killed.append(renderers()[-1].pid)
            os.kill(killed[0], signal.SIGKILL)

    lost = run_together(pair, endless(training), kill)
    assert isinstance(lost, WorkerLost)
    replace_lost(pair, lost.worker)
    folder = Path(training.unit.target).parent
    steps = len(losses(folder))
    run_on_one(replace(training, params={**training.params, "steps": steps + 4}))
    assert [line["step"] for line in losses(folder)] == list(range(1, steps + 5))


def together(make_order: MakeOrder, folder: Path, how: str, who: int) -> Order:
    """Return an order of which the worker of rank who fails at first."""
    paths = {name: str(folder / name) for name in ("began", "until", "once")}
    return make_order("together", **paths, how=how, who=who)


@pytest.mark.parametrize("who", [0, 1])
def test_the_cause_of_a_failure_is_reported_and_not_that_contact_was_lost(
    pair: Any, make_order: MakeOrder, tmp_path: Path, who: int
) -> None:
    before = [pid_of(pair, worker, make_order, tmp_path) for worker in pair.workers]
    (tmp_path / "until").unlink()
    failed = run_together(pair, together(make_order, tmp_path, "raise", who))
    assert (failed.worker, failed.failure.reason) == (pair.worker, Reason.PLUGIN_ERROR)
    assert "KeyError: 'colour'" in failed.failure.message
    assert [pid_of(pair, worker, make_order, tmp_path) for worker in pair.workers] == before


def test_a_worker_that_dies_is_lost_and_the_other_keeps_its_name(
    pair: Any, make_order: MakeOrder, tmp_path: Path
) -> None:
    order = together(make_order, tmp_path, "die", 1)
    lost = run_together(pair, order)
    assert (type(lost), lost.worker) == (WorkerLost, pair.workers[1])
    replace_lost(pair, lost.worker)
    (tmp_path / "until").touch()
    assert isinstance(run_together(pair, with_target_in(order, tmp_path)), UnitSucceeded)


def test_a_worker_that_hangs_after_another_was_lost_gets_a_new_process_for_its_next_order(
    pair: Any, make_order: MakeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm_cluster.carrying._END_SECONDS", 0.5)
    pair.share(together(make_order, tmp_path, "hang", 1))
    while not (tmp_path / "began-1").exists():
        pair.executor.poll(0.1)
    lost, hung = pair.workers
    pair.executor.kill(lost)
    assert pair.until(WorkerLost).worker == lost
    (tmp_path / "until").touch()
    began = tmp_path / "began"
    order = make_order("wait", began=str(began), until=str(tmp_path / "until"))
    pair.executor.assign([hung], order)
    news = [pair.until(WorkerJoined | UnitSucceeded) for _ in range(2)]
    done, joined = sorted(news, key=lambda message: isinstance(message, WorkerJoined))
    assert (done.worker, done.token) == (hung, order.token)
    assert began.read_text() != (tmp_path / "began-1").read_text()
    pair.workers = [hung, joined.worker]
    pair.worker = hung


def test_a_worker_that_hangs_after_another_failed_is_restarted_and_not_lost(
    pair: Any, make_order: MakeOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm_cluster.carrying._END_SECONDS", 0.5)
    order = together(make_order, tmp_path, "raise", 0)
    order = replace(order, params={**order.params, "beside": "hang"})
    failed = run_together(pair, order)
    assert failed.failure.reason is Reason.PLUGIN_ERROR
    assert pid_of(pair, pair.workers[1], make_order, tmp_path) != int(
        (tmp_path / "began-1").read_text()
    )


def test_a_worker_that_computes_for_long_is_not_taken_for_dead() -> None:
    from farm_cluster import group

    limit = Policy().silence_seconds
    assert limit < group.COLLECTIVE_SECONDS, "the farm's own limit on silence comes first"
