"""A run on two workers is the run on one, up to the order of sums, and is gone on with alike."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm.errors import BadInput, UserError
from farm.executor import Order
from farm.job import Plan, Unit
from farm.registry import Registry
from farm.work import Train
from farm.worker import Worker

pytestmark = [pytest.mark.ray, pytest.mark.slow]
HAS_TRAIN = find_spec("pyarrow") is not None


def draw(path: Path, seed: int) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC).save(path)
    return str(path)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    for seed in range(3):
        draw(tmp_path / "photos" / f"{seed}.png", seed)
    work = Train((draw(tmp_path / "painting.png", 9),))
    unit = Unit("job", "train", "", str(tmp_path / "alone" / "generator.safetensors"), work=work)
    quick = {"width": 4, "blocks": 1, "side": 64, "style_side": 96, "batch": 3, "every": 2}
    params = {**quick, "steps": 4, "photos": str(tmp_path / "photos")}
    return Order(unit, 1, "lease", "train-style", params, Plan())


def into(order: Order, folder: Path) -> Order:
    return replace(order, unit=replace(order.unit, target=str(folder / "generator.safetensors")))


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.skipif(not HAS_TRAIN, reason="pip install 'ray[train]'")
def test_two_workers_go_on_with_what_one_began(
    ray_cluster: Any, order: Order, tmp_path: Path
) -> None:
    from farm_cluster.train import Workers, train_together  # Ray reads its settings when imported

    Worker(Registry.load(), "cpu", 1).run(order, lambda *_: None, lambda: False)
    alone, together = tmp_path / "alone", tmp_path / "together"
    (together / "checkpoints").mkdir(parents=True)
    begun = alone / "checkpoints" / "step-00000002.safetensors"
    (together / "checkpoints" / begun.name).write_bytes(begun.read_bytes())
    (together / "log.jsonl").write_bytes((alone / "log.jsonl").read_bytes())

    train_together(into(order, together), Workers(2))

    assert (together / "generator.safetensors").is_file()
    assert not list(together.glob(".*")), "it tidies up"
    ours, theirs = losses(together), losses(alone)
    assert [line["step"] for line in ours] == [1, 2, 3, 4]
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("style", "content", "smoothness", "deviation"):
            assert mine[name] == pytest.approx(other[name], rel=1e-3)

    changed = replace(into(order, together), params={**order.params, "rate": 0.5})
    with pytest.raises(BadInput, match=r"is of another run: facts rate was 0\.002, is now 0\.5"):
        train_together(changed, Workers(2))


@pytest.mark.skipif(HAS_TRAIN, reason="Ray Train is installed")
def test_without_ray_train_it_says_what_to_install(ray_cluster: Any, order: Order) -> None:
    from farm_cluster.train import Workers, train_together

    with pytest.raises(UserError, match=r"needs Ray Train 2 .* pip install 'ray\[train\]>=2\.54'"):
        train_together(order, Workers(2))
