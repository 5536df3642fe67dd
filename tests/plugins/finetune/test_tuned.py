"""A run is a network: by its folder, by a step, or by the file that it has written."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from farm import BadInput, NetworkSpec
from farm.engine import catalogue
from farm.engine.context import FrameContext
from farm.engine.networks import NetworkCache
from farm.engine.training.runs import checkpoints
from farm.host.registry import Registry
from farm.model.job import Plan
from farm_dream.params import DreamParams
from farm_dream.task import Dream
from farm_finetune.tuned import origin_of

from .conftest import make_run

pytestmark = pytest.mark.slow

Find = Callable[[str], NetworkSpec]


@pytest.fixture
def run(tmp_path: Path, dataset: Path, make_context: Callable[..., FrameContext]) -> Path:
    """Return the folder of a run of the starter network, with checkpoints at steps 1, 2 and 3."""
    folder = tmp_path / "run"
    tune = make_run(network="starter", steps=3, every=1, batch=3, supervise=False)
    tune.train((str(dataset),), folder, make_context())
    describe(folder, "finetune")
    return folder


def describe(folder: Path, task: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"task": task, "params": {}}))


def dream(find: Find, network: str, **params: object) -> torch.Tensor:
    context = FrameContext(
        device="cpu",
        plan=Plan(tile=0),
        networks=NetworkCache(find, "cpu"),
        frame="frame",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=pytest.fail,
    )
    task = Dream(DreamParams(network=network, octaves=1, iterations=2, **params))
    task.check(context)
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return task.render(picture, context)


def test_a_run_is_a_network_to_dream_with(find: Find, run: Path) -> None:
    spec = find(str(run))
    assert spec.classes() == ("blue", "green", "red")
    newest = dream(find, str(run), layers=["inception5b"])
    assert torch.equal(newest, dream(find, f"{run}@3", layers=["inception5b"]))
    assert torch.equal(
        newest, dream(find, str(run / "network.safetensors"), layers=["inception5b"])
    )
    assert not torch.equal(newest, dream(find, "starter", layers=["inception5b"]))
    assert not torch.equal(newest, dream(find, f"{run}@1", layers=["inception5b"]))
    red = dream(find, str(run), classes=["red"])
    assert not torch.equal(red, dream(find, str(run), classes=["blue"]))


def test_the_layers_of_a_run_are_those_of_its_network(find: Find, run: Path) -> None:
    rows = catalogue.layers(find(str(run)))
    assert rows[-1] == {**rows[-1], "layer": "logits", "channels": 3}
    assert {"inception5b", "inception4c"} <= {row["layer"] for row in rows}


def test_a_job_names_the_checkpoint_that_it_began_with(find: Find, run: Path) -> None:
    assert find(str(run)).lasting_name == f"{run}@3"
    list(checkpoints(run).values())[-1].unlink()
    assert find(str(run)).lasting_name == f"{run}@2"
    assert find(f"{run}@2").lasting_name == f"{run}@2"


def test_a_tuned_network_can_be_tuned_again(
    find: Find,
    run: Path,
    dataset: Path,
    tmp_path: Path,
    make_context: Callable[..., FrameContext],
) -> None:
    tune = make_run(network=str(run), steps=1, batch=3)
    tune.train((str(dataset),), tmp_path / "again", make_context())
    describe(tmp_path / "again", "finetune")
    assert origin_of(str(tmp_path / "again")) == "starter"
    for file in checkpoints(run).values():
        file.unlink()
    assert find(str(tmp_path / "again")).head is not None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("run@7", r"no checkpoint at step 7; choose one of 1, 2, 3"),
        ("other", "this is a run of `farm dcgan`; give one of `farm finetune` as a network"),
        ("set", "this folder contains no run: it has no run.json"),
        ("absent", "no such folder; give the folder of a run"),
        ("set/train/red/0.safetensors", "is not a network that `farm finetune` has written"),
    ],
)
def test_a_path_without_a_tuned_network_is_refused(
    find: Find, run: Path, dataset: Path, name: str, reason: str
) -> None:
    describe(run.parent / "other", "dcgan")
    (dataset / "train" / "red" / "0.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInput, match=reason):
        find(str(run.parent / name))


def test_a_word_that_is_no_path_is_left_to_other_plugins() -> None:
    assert Registry.load().network("resnet18").name == "resnet18"
