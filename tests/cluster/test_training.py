"""A generator trained by two workers: on two nodes, after one was killed, and compared with one.

test_sharing has the tests of what every run relies on; these add what two networks need that train
against each other, with batch norm over all workers.
"""

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from farm.host.executor import Executor
from farm.model.job import Plan
from farm.model.messages import Order, UnitProgress, UnitSucceeded, WorkerLost
from farm.model.unit import Unit
from farm.model.work import Train

from .nodes import added_node
from .runs import draw, losses, renderers, run_on_one, run_together, with_target_in

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EVERY = 5
STEPS = 40
ENDLESS = 1_000_000


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Order:
    """A run of the smallest generators, which keeps all its checkpoints."""
    folder = tmp_path_factory.mktemp("dcgan")
    for seed in range(6):
        draw(folder / "pictures" / f"{seed}.png", seed, side=64)
    work = Train((str(folder / "pictures"),))
    unit = Unit("job", "train", "", str(folder / "run" / "generator.safetensors"), work=work)
    params = {"width": 0.0625, "batch": 4, "steps": STEPS, "every": EVERY, "kept": STEPS}
    return Order(unit, 1, "lease", "dcgan", params, Plan())


@pytest.fixture(scope="module")
def pair(
    ray_cluster: Any,
    start_pool: Callable[..., AbstractContextManager[Executor]],
    bench_of: Callable[..., Any],
) -> Iterator[Any]:
    """Two workers, on a node each."""
    with added_node(ray_cluster, "second", num_cpus=1), start_pool(workers=2) as pool:
        yield bench_of(pool, 2)


@pytest.fixture(scope="module")
def undisturbed(pair: Any, order: Order) -> tuple[Path, set[int]]:
    """Return the folder of a run on two nodes, and the processes that started its workers."""
    nodes: set[int] = set()

    def look(_: UnitProgress) -> None:
        nodes.update(process.ppid() for process in renderers())

    assert isinstance(run_together(pair, order, look), UnitSucceeded)
    return Path(order.unit.target).parent, nodes


def with_steps(order: Order, steps: int, folder: Path) -> Order:
    return with_target_in(replace(order, params={**order.params, "steps": steps}), folder)


def digest(folder: Path, step: int) -> str:
    """Return the digest of a run's whole state after a step."""
    with safe_open(folder / "checkpoints" / f"step-{step:08}.safetensors", "pt") as file:
        header = json.loads(file.metadata()["farm-run"])
    assert header["step"] == step
    return str(header["digest"])


def last_step(folder: Path) -> int:
    """Return the step of the newest checkpoint."""
    newest = max((folder / "checkpoints").glob("step-*.safetensors"))
    return int(newest.stem.removeprefix("step-"))


def test_a_worker_alone_trains_exactly_what_a_local_one_does(
    pair: Any, order: Order, tmp_path: Path
) -> None:
    local, alone = tmp_path / "local", tmp_path / "alone"
    run_on_one(with_steps(order, EVERY, local))
    pair.assign(with_steps(order, EVERY, alone))
    pair.until(UnitSucceeded)
    assert digest(alone, EVERY) == digest(local, EVERY)


def test_two_nodes_train_together(undisturbed: tuple[Path, set[int]]) -> None:
    folder, nodes = undisturbed
    assert len(nodes) == 2
    assert [line["step"] for line in losses(folder)] == list(range(1, STEPS + 1))
    for name in ("generator.safetensors", "index.html", "curves.png", "losses.csv", "run.json"):
        assert (folder / name).is_file(), name
    assert not list(folder.rglob(".*")), "temporary files remain"


def test_two_nodes_train_the_same_network_again(
    pair: Any, order: Order, undisturbed: tuple[Path, set[int]], tmp_path: Path
) -> None:
    run_together(pair, with_steps(order, EVERY, tmp_path))
    assert digest(tmp_path, EVERY) == digest(undisturbed[0], EVERY)


def test_a_batch_on_two_workers_has_the_losses_of_one_that_takes_it_whole(
    order: Order, undisturbed: tuple[Path, set[int]], tmp_path: Path
) -> None:
    run_on_one(with_steps(order, 1, tmp_path))
    (whole,), divided = losses(tmp_path), losses(undisturbed[0])[0]
    for name in ("discriminator", "generator"):
        assert divided[name] == pytest.approx(whole[name], abs=1e-6)


def test_a_run_whose_worker_was_killed_ends_as_if_nothing_had_happened(
    pair: Any, order: Order, undisturbed: tuple[Path, set[int]], tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill(message: UnitProgress) -> None:
        if round(message.done * ENDLESS) >= EVERY and not killed:
            killed.append(renderers()[-1].pid)
            os.kill(killed[0], signal.SIGKILL)

    lost = run_together(pair, with_steps(order, ENDLESS, tmp_path), kill)
    assert isinstance(lost, WorkerLost)
    pair.workers[pair.workers.index(lost.worker)] = pair.next_renderer()
    resumed_from = last_step(tmp_path)
    assert EVERY <= resumed_from < STEPS

    run_together(pair, with_steps(order, resumed_from + EVERY, tmp_path))
    assert digest(tmp_path, resumed_from + EVERY) == digest(undisturbed[0], resumed_from + EVERY)
    assert [line["step"] for line in losses(tmp_path)] == list(range(1, resumed_from + EVERY + 1))
