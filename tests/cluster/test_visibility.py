"""What the pool does about files that some workers do not see."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farm.errors import FarmBug
from farm.model.messages import Order, Reason, UnitSucceeded
from farm.model.work import Train
from farm_cluster.actor import FarmActor, Unseen
from farm_cluster.visibility import UnseenPaths, leave_mark, read_files

MakeOrder = Callable[..., Order]


def test_a_path_that_no_worker_sees_is_fatal_and_others_may_try_before() -> None:
    unseen, nodes = UnseenPaths(), {"ray-1": "a", "ray-2": "b"}
    first = unseen.failure("/out", "ray-1", nodes)
    assert (first.reason, first.is_fatal) == (Reason.WORKER_LOST, False)
    last = unseen.failure("/out", "ray-2", nodes)
    assert (last.reason, last.is_fatal) == (Reason.USER_ERROR, True)
    assert "/out is not shared: node a, node b cannot see it" in last.message


def test_a_path_that_too_few_workers_see_to_share_an_order_is_fatal() -> None:
    unseen, nodes = UnseenPaths(), {"ray-1": "a", "ray-2": "b", "ray-3": "c"}
    assert not unseen.failure("/out", "ray-1", nodes, needed=2).is_fatal
    last = unseen.failure("/out", "ray-2", nodes, needed=2)
    assert (last.reason, last.is_fatal) == (Reason.USER_ERROR, True)
    assert "node a, node b cannot see it" in last.message


def test_a_worker_that_sees_a_path_again_is_not_counted() -> None:
    unseen, nodes = UnseenPaths(), {"ray-1": "a", "ray-2": "b"}
    unseen.failure("/out", "ray-1", nodes)
    unseen.note_seen("/out", "ray-1")
    assert not unseen.failure("/out", "ray-2", nodes).is_fatal


def test_the_files_of_an_order_are_its_source_its_work_and_its_parameters(
    make_order: MakeOrder, tmp_path: Path
) -> None:
    paths = {name: tmp_path / name for name in ("source.png", "style.png", "weights.pt")}
    for path in paths.values():
        path.touch()
    order = make_order("invert", weights=str(paths["weights.pt"]), nothing=str(tmp_path / "no"))
    work = Train((str(paths["style.png"]),))
    order = replace(order, unit=replace(order.unit, source=str(paths["source.png"]), work=work))
    assert {*read_files(order)} == {str(path) for path in paths.values()}


def test_a_mark_lies_beside_the_target(make_order: MakeOrder) -> None:
    order = make_order("invert")
    mark = leave_mark(order)
    assert mark is not None
    assert mark.is_file()
    assert mark.parent == Path(order.unit.target).parent


def test_a_folder_that_this_process_cannot_write_gets_no_mark(
    make_order: MakeOrder, tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    assert leave_mark(make_order("invert")) is None


@pytest.fixture
def actor(effects: Path) -> FarmActor:
    actor = FarmActor("ray-1", "cpu", 1, str(effects), "127.0.0.1")
    assert not actor.start().refusal
    return actor


def test_a_worker_renders_only_if_it_sees_the_files(
    actor: FarmActor, make_order: MakeOrder, tmp_path: Path
) -> None:
    order = make_order("invert")
    unseen = str(tmp_path / "elsewhere.png")
    assert actor.run(order, [str(tmp_path), unseen]) == Unseen(unseen)
    assert not Path(order.unit.target).exists()
    assert isinstance(actor.run(order, [str(tmp_path)]), UnitSucceeded)


def test_a_worker_does_not_see_a_path_that_its_system_refuses(actor: FarmActor) -> None:
    too_long = f"/{'x' * 300}"
    assert actor.find_unseen(["/", too_long]) == too_long


def test_a_worker_with_a_gpu_that_torch_cannot_use_does_not_compute_on_the_cpu(
    effects: Path, make_order: MakeOrder
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch can use the GPU of this machine")
    worker = FarmActor("ray-1", "gpu", 1, str(effects), "127.0.0.1")
    assert "it was given a GPU, but its torch finds no CUDA device" in worker.start().refusal
    with pytest.raises(FarmBug, match="before it started"):
        worker.run(make_order("invert"))
