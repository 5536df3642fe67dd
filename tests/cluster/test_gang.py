"""The gang: it renders the same bytes as one worker, and resumes runs with any number of workers."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from farm.errors import BadInput, Cancelled, UserError, WorkerDied
from farm.execution.worker import Worker
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.job import Plan
from farm.model.messages import Figures, Order
from farm.model.unit import Unit
from farm.model.work import Train
from farm.scheduling.policy import Policy

from .nodes import added_node

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def draw(path: Path, seed: int, side: int = 96) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return str(path)


@pytest.fixture
def still(tmp_path: Path) -> Order:
    """A dream of four tiles."""
    source = draw(tmp_path / "still.png", 1, side=150)
    unit = Unit("job", "still", source, str(tmp_path / "one" / "still.png"))
    return Order(unit, 1, "lease", "dream", {"octaves": 2, "iterations": 2}, Plan(tile=80))


@pytest.fixture
def training(tmp_path: Path) -> Order:
    for seed in range(3):
        draw(tmp_path / "photos" / f"{seed}.png", seed)
    work = Train((draw(tmp_path / "style.png", 9),))
    unit = Unit("job", "train", "", str(tmp_path / "one" / "generator.safetensors"), work=work)
    quick = {"width": 4, "blocks": 1, "side": 64, "style_side": 96, "batch": 3, "every": 2}
    params = {**quick, "steps": 4, "photos": str(tmp_path / "photos")}
    return Order(unit, 1, "lease", "train-style", params, Plan())


@pytest.fixture
def gang(ray_cluster: Any) -> Any:
    """Two workers of the tests' cluster."""
    from farm_cluster.gang import Gang  # Ray reads its settings when imported

    return Gang(ExecutorOptions(workers=2))


def with_target_in(order: Order, folder: Path) -> Order:
    target = str(folder / Path(order.unit.target).name)
    return replace(order, unit=replace(order.unit, target=target))


def run_on_one(order: Order) -> Figures:
    return Worker(Registry.load(), "cpu").run(order, lambda *_: None, lambda: False)


def run_on_gang(gang: Any, order: Order) -> Figures:
    return gang.run(order, lambda *_: None, lambda: False)


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def members() -> list[psutil.Process]:
    """Return the worker processes of gangs on the tests' cluster."""
    children = psutil.Process().children(recursive=True)
    return [process for process in children if process.name().startswith("ray::RayTrainW")]


def test_two_workers_render_the_same_bytes_as_one(gang: Any, still: Order, tmp_path: Path) -> None:
    one, progress = run_on_one(still), []
    both = with_target_in(still, tmp_path / "gang")
    two = gang.run(both, lambda *args: progress.append(args), lambda: False)
    assert two.target_sha256 == one.target_sha256
    assert Path(both.unit.target).read_bytes() == Path(still.unit.target).read_bytes()
    assert (two.tiles, two.overlap_pixels) == (one.tiles, one.overlap_pixels)
    assert 0 < progress[-1][0] <= 1
    assert not list((tmp_path / "gang").glob(".*")), "temporary files remain"


def test_two_workers_resume_a_run_of_one(gang: Any, training: Order, tmp_path: Path) -> None:
    run_on_one(training)
    first, second = tmp_path / "one", tmp_path / "gang"
    (second / "checkpoints").mkdir(parents=True)
    checkpoint = first / "checkpoints" / "step-00000002.safetensors"
    (second / "checkpoints" / checkpoint.name).write_bytes(checkpoint.read_bytes())
    (second / "log.jsonl").write_bytes((first / "log.jsonl").read_bytes())

    run_on_gang(gang, with_target_in(training, second))

    assert (second / "generator.safetensors").is_file()
    assert not list(second.glob(".*")), "temporary files remain"
    ours, theirs = losses(second), losses(first)
    assert [line["step"] for line in ours] == [1, 2, 3, 4]
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("style", "content", "smoothness", "deviation"):
            assert mine[name] == pytest.approx(other[name], rel=1e-3)

    changed = replace(with_target_in(training, second), params={**training.params, "rate": 0.5})
    with pytest.raises(BadInput, match=r"belongs to another run: rate was 0\.002 and is now 0\.5"):
        run_on_gang(gang, changed)


def test_a_killed_worker_raises_worker_died(gang: Any, training: Order) -> None:
    killed: list[int] = []

    def kill(_done: float, note: str, *_: object) -> None:
        if note.startswith("step") and not killed:
            killed.append(members()[-1].pid)
            os.kill(killed[0], signal.SIGKILL)

    long = replace(training, params={**training.params, "steps": 100_000})
    with pytest.raises(WorkerDied, match="worker of a gang died"):
        gang.run(long, kill, lambda: False)
    assert killed
    folder = Path(training.unit.target).parent
    steps = len(losses(folder))
    run_on_one(replace(training, params={**training.params, "steps": steps + 4}))
    assert [line["step"] for line in losses(folder)] == list(range(1, steps + 5))


def test_a_worker_that_computes_for_long_is_not_taken_for_dead() -> None:
    from farm_cluster import gang

    limit = Policy().silence_seconds
    assert limit < gang._COLLECTIVE_SECONDS, "the farm's own limit on silence comes first"


def test_a_gang_that_does_not_stop_is_ended(
    gang: Any, training: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm_cluster.gang._STOP_SECONDS", 1.0)
    stopped: list[psutil.Process] = []

    def stop(_done: float, note: str, *_: object) -> None:
        if note.startswith("step") and not stopped:
            stopped.extend(members())
            stopped[-1].suspend()

    long = replace(training, params={**training.params, "steps": 100_000})
    with pytest.raises(Cancelled):
        gang.run(long, stop, lambda: bool(stopped))
    assert not psutil.wait_procs(stopped, 60)[1]


def test_a_gang_that_does_not_see_the_same_folder_is_refused(
    ray_cluster: Any, apart: Path, still: Order
) -> None:
    from farm_cluster.gang import Gang

    wait_for_cores(4)
    gang = Gang(ExecutorOptions(workers=4))
    with pytest.raises(
        UserError, match=r"apart/out is not shared: the worker on [\d.]+ cannot see"
    ):
        run_on_gang(gang, with_target_in(still, apart / "out"))
    assert not list((apart / "out").glob("*")), "a file remains"


def test_a_gang_on_different_devices_is_refused(ray_cluster: Any, still: Order) -> None:
    from farm_cluster.gang import Gang

    with added_node(ray_cluster, "old", num_cpus=2, env_vars={"ATEN_CPU_CAPABILITY": "default"}):
        gang = Gang(ExecutorOptions(workers=4))
        reason = (
            r"the worker on [\d.]+ computes on 'cpu DEFAULT.*' and the gang on 'cpu .*nodes of one"
        )
        with pytest.raises(UserError, match=reason):
            run_on_gang(gang, still)


def wait_for_cores(count: int) -> None:
    """Wait until the cluster has this many cores."""
    import ray

    while ray.cluster_resources().get("CPU", 0) < count:
        pass


def test_more_workers_than_fit_are_refused(ray_cluster: Any) -> None:
    from farm_cluster.gang import Gang

    reason = "no room for 64 workers: .* --threads 1 fit at most 2; lower --workers or --threads"
    with pytest.raises(UserError, match=reason):
        Gang(ExecutorOptions(workers=64))
