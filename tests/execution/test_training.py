"""A run writes down what it was started with."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import farm
from farm.engine.training.runs import FACTS, PAGE, checkpoints, read_run
from farm.errors import BadInput
from farm.execution.worker import Worker
from farm.host.registry import Registry
from farm.host.vetting import validate_params
from farm.model.job import Plan
from farm.model.messages import Order
from farm.model.unit import Unit
from farm.model.work import Train
from farm.storage import FileDigests

pytestmark = pytest.mark.slow

QUICK = {"width": 4, "blocks": 1, "side": 64, "style_side": 64, "batch": 1, "steps": 1}

RunTask = Callable[..., Path]


def draw(path: Path, seed: int) -> str:
    path.parent.mkdir(exist_ok=True)
    levels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(levels).save(path)
    return str(path)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    draw(tmp_path / "photos" / "0.png", 0)
    work = Train((draw(tmp_path / "style.png", 9),))
    unit = Unit("job", "train", "", str(tmp_path / "run" / "generator.safetensors"), work=work)
    params = {**QUICK, "photos": str(tmp_path / "photos")}
    return Order(unit, 1, "lease", "train-style", params, Plan())


def run(order: Order) -> Path:
    """Carry out an order and return the run's folder."""
    Worker(Registry.load(), "cpu").run(order, lambda *_: None, lambda: False)
    return Path(order.unit.target).parent


def test_a_run_says_what_it_was_started_with(order: Order, tmp_path: Path) -> None:
    folder = run(order)
    content = json.loads((folder / FACTS).read_text())
    assert content["task"] == "train-style"
    assert content["farm"] == farm.__version__
    digest = FileDigests().sha256(str(tmp_path / "photos"))
    assert content["params"]["photos"] == {"name": "photos", "sha256": digest}
    assert content["params"]["content_weight"] == 0.25
    assert str(tmp_path) not in (folder / FACTS).read_text()
    assert (folder / PAGE).is_file()


def test_its_parameters_are_those_of_its_task(
    order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = read_run(run(order))
    monkeypatch.chdir(tmp_path)
    task = Registry.load().task(facts.task)
    params = validate_params(task, facts.params)
    assert params == validate_params(task, order.params)


def test_a_run_that_ended_before_its_first_checkpoint_is_described_anew(order: Order) -> None:
    folder = run(order)
    for path in checkpoints(folder).values():
        path.unlink()
    run(replace(order, params={**order.params, "width": 8}))
    assert read_run(folder).params["width"] == 8


def test_a_resumed_run_keeps_what_it_was_started_with_but_its_steps(order: Order) -> None:
    before = json.loads((run(order) / FACTS).read_bytes())
    folder = run(replace(order, params={**order.params, "steps": 2}))
    after = json.loads((folder / FACTS).read_bytes())
    assert after == {**before, "params": {**before["params"], "steps": 2}}


def test_a_run_that_failed_before_it_began_leaves_its_folder_empty(
    order: Order, tmp_path: Path
) -> None:
    (tmp_path / "style.png").write_bytes(b"no picture")
    with pytest.raises(BadInput):
        run(order)
    assert list((tmp_path / "run").iterdir()) == []
