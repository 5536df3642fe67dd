"""`farm train-style`: training, resuming, and refusing inputs that it cannot train on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from farm import BadInput, BadParameter
from farm.engine.context import FrameContext
from farm.engine.networks import NetworkCache
from farm.engine.training import read_facts
from farm.engine.training.runs import find_checkpoint
from farm.errors import Cancelled, InputChanged
from farm.host.vetting import validate_params
from farm.media import read_still
from farm.media.dataset import open_pictures
from farm.model.job import Plan
from farm.storage import KnownFiles
from farm_networks.torchvision_models import torchvision_spec
from farm_style import fast, names
from farm_style.train import TrainStyle

from .conftest import Scene

pytestmark = pytest.mark.slow

QUICK = {"width": 4, "blocks": 1, "side": 64, "style_side": 96, "batch": 2, "steps": 20}

MakeContext = Callable[..., FrameContext]


def save(path: Path, picture: Tensor) -> str:
    levels = (picture[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(levels).save(path)
    return str(path)


@pytest.fixture
def style_picture(tmp_path: Path, scene: Scene) -> str:
    return save(tmp_path / "style.png", scene(120, 150).roll(1, 1))


@pytest.fixture
def photos(tmp_path: Path, scene: Scene) -> str:
    for number, size in enumerate([(90, 120), (140, 100), (80, 80)]):
        save(tmp_path / "photos" / f"{number}.png", scene(*size).flip(2 + number % 2))
    return str(tmp_path / "photos")


@pytest.fixture
def make_context(networks: NetworkCache) -> MakeContext:
    def make(stop_after: int | None = None) -> FrameContext:
        notes: list[str] = []

        def is_cancelled() -> bool:
            return stop_after is not None and len(notes) >= stop_after

        return FrameContext(
            device="cpu",
            plan=Plan(),
            networks=networks,
            frame="train-style",
            report=lambda _done, note, *_: notes.append(note),
            is_cancelled=is_cancelled,
            read=lambda source: read_still(source).pixels,
            pictures=open_pictures,
        )

    return make


def make_run(photos: str, **params: Any) -> TrainStyle:
    return TrainStyle(validate_params(TrainStyle, {"photos": photos, **QUICK, **params}))


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["style"] for line in lines]


def test_a_resumed_run_gives_the_same_bytes(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    make_run(photos, every=20).train((style_picture,), straight, make_context())
    with pytest.raises(Cancelled):
        make_run(photos, every=20).train((style_picture,), stopped, make_context(stop_after=10))
    assert not (stopped / names.RESULT).exists()
    make_run(photos, every=20).train((style_picture,), stopped, make_context())
    assert (straight / names.RESULT).read_bytes() == (stopped / names.RESULT).read_bytes()
    assert losses(straight) == losses(stopped)
    assert len(losses(straight)) == QUICK["steps"]


def test_training_lowers_the_loss(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    make_run(photos, steps=60, rate=0.005).train((style_picture,), tmp_path / "run", make_context())
    values = losses(tmp_path / "run")
    assert np.mean(values[-10:]) < 0.7 * np.mean(values[:5])


def test_the_result_stylises_pictures(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext, scene: Scene
) -> None:
    folder = tmp_path / "run"
    make_run(photos, steps=2).train((style_picture,), folder, make_context())
    params = fast.StyleParams(fast=str(folder))
    stylised = fast.render(scene(64, 80), params, make_context())
    assert stylised.shape == (1, 3, 64, 80)


def test_an_unreadable_photograph_is_skipped_and_named(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    (tmp_path / "photos" / "0.png").write_bytes(b"not a picture")
    context, notes = make_context(), list[str]()
    context._report = lambda _done, note, *_: notes.append(note)
    make_run(photos, steps=3).train((style_picture,), tmp_path / "run", context)
    assert "; warning: unreadable pictures skipped: 1, such as" in notes[-1]
    assert "0.png" in notes[-1]


def test_a_run_without_readable_photographs_fails(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    for path in (tmp_path / "photos").iterdir():
        path.write_bytes(b"not a picture")
    with pytest.raises(BadInput, match=r"\d\.png: "):
        make_run(photos).train((style_picture,), tmp_path / "run", make_context())


def test_training_leaves_the_global_random_state_alone(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    before = torch.get_rng_state()
    make_run(photos, steps=2).train((style_picture,), tmp_path / "run", make_context())
    assert torch.equal(torch.get_rng_state(), before)


def test_the_folder_of_a_different_run_is_refused(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    folder = tmp_path / "run"
    make_run(photos, steps=2).train((style_picture,), folder, make_context())
    with pytest.raises(BadInput, match=r"belongs to another run: rate was 0\.002 and is now 0\.1"):
        make_run(photos, steps=2, rate=0.1).train((style_picture,), folder, make_context())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        ("notes.txt", "this folder contains no pictures"),
    ],
)
def test_a_folder_without_photographs_is_refused(
    tmp_path: Path, make_context: MakeContext, content: str | None, reason: str
) -> None:
    folder = tmp_path / "empty"
    if content:
        folder.mkdir()
        (folder / content).touch()
    with pytest.raises(BadInput, match=reason):
        make_run(str(folder)).check(make_context())


@pytest.mark.parametrize(
    ("changed", "fact"),
    [("photos/1.png", "photographs"), ("style.png", "style picture")],
)
def test_a_run_whose_pictures_have_changed_is_refused(
    changed: str,
    fact: str,
    tmp_path: Path,
    style_picture: str,
    photos: str,
    make_context: MakeContext,
    scene: Scene,
) -> None:
    folder = tmp_path / "run"
    make_run(photos, steps=2).train((style_picture,), folder, make_context())
    save(tmp_path / changed, scene(90, 90))
    with pytest.raises(
        BadInput, match=f"belongs to another run: sha256 of the {fact} was .{{12}}... and is now "
    ):
        make_run(photos, steps=4).train((style_picture,), folder, make_context())


def test_a_run_may_be_resumed_with_its_photographs_in_another_folder(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    folder = tmp_path / "run"
    make_run(photos, steps=2).train((style_picture,), folder, make_context())
    moved = Path(photos).rename(tmp_path / "moved")
    make_run(str(moved), steps=4).train((style_picture,), folder, make_context())
    assert len(losses(folder)) == 4


def test_a_photograph_that_changes_during_a_run_is_not_skipped_but_ends_it(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext, scene: Scene
) -> None:
    context = make_context()
    files = KnownFiles({photos: context.digest(photos)})
    context._files = files
    context._pictures = lambda source, part: open_pictures(source, part, files)
    context._report = lambda *_: save(tmp_path / "photos" / "1.png", scene(90, 90))
    with pytest.raises(InputChanged, match=r"1\.png has changed since the job was submitted"):
        make_run(photos, steps=50).train((style_picture,), tmp_path / "run", context)


def test_a_zip_trains_as_its_folder_does(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", photos)
    for name, source in {"folder": photos, "zip": zipped}.items():
        make_run(source, steps=3).train((style_picture,), tmp_path / name, make_context())
    assert losses(tmp_path / "folder") == losses(tmp_path / "zip")


def test_a_run_starts_from_a_trained_network(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    """The loss begins where it ended, and the trained network is part of the run."""
    first, second = str(tmp_path / "first"), tmp_path / "second"
    make_run(photos, steps=60, rate=0.005).train((style_picture,), Path(first), make_context())
    run = make_run(photos, steps=3, start=first)
    assert run.files()[first] == str(names.find(first))
    run.train((style_picture,), second, make_context())
    assert np.mean(losses(second)) < 0.8 * np.mean(losses(Path(first))[:3])
    with pytest.raises(BadInput, match="belongs to another run: sha256 of the start"):
        make_run(photos, steps=4).train((style_picture,), second, make_context())


def test_a_network_of_another_size_cannot_be_started_from(
    photos: str, make_context: MakeContext
) -> None:
    with pytest.raises(BadParameter, match="eddies has width 16 and 5 blocks; set `width` and"):
        make_run(photos, start="eddies").check(make_context())


def test_several_style_pictures_are_refused(
    style_picture: str, photos: str, make_context: MakeContext
) -> None:
    with pytest.raises(BadInput, match="2 style pictures given; give only one"):
        make_run(photos).check_inputs((style_picture, style_picture), make_context())


def test_a_network_without_default_layers_is_refused(photos: str) -> None:
    from farm.engine.networks import Network
    from farm_style import targets

    spec = torchvision_spec("resnet18")
    network = Network(spec, spec.build(), "", "cpu", "float32")
    with pytest.raises(
        BadParameter, match="resnet18 has no default style layers; use starter or vgg19"
    ):
        targets.default_layers(network)


def test_what_is_known_before_work_is_what_the_checkpoint_says(
    tmp_path: Path, style_picture: str, photos: str, make_context: MakeContext
) -> None:
    (note,) = make_run(photos, batch=1000).notes(make_context())
    assert "fewer than a batch of 1000" in note
    run = make_run(photos, steps=1)
    run.train((style_picture,), tmp_path / "run", make_context())
    saved = read_facts(find_checkpoint(tmp_path / "run"))
    assert saved == run.facts((style_picture,), make_context())
