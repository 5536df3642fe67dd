"""Trained style networks: tiles match the whole picture, and unusable files are refused."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from farm import BadInput, BadParameter
from farm.engine.context import FrameContext, ReportProgress
from farm.engine.networks import NetworkCache
from farm.model.job import Plan
from farm.testing import FakeContext, check_effect
from farm_style import fast, names
from farm_style.generator import Generator
from farm_style.inference import rewrite
from farm_style.params import StyleParams
from farm_style.task import Style
from farm_style.weights import read_generator, to_bytes

from .conftest import Scene

EDDIES = StyleParams(fast="eddies")


MakeContext = Callable[..., FrameContext]


@pytest.fixture
def make_context(networks: NetworkCache) -> MakeContext:
    def make(plan: Plan, report: ReportProgress = lambda *_: None) -> FrameContext:
        return FrameContext(
            device="cpu",
            plan=plan,
            networks=networks,
            frame="frame",
            report=report,
            is_cancelled=lambda: False,
            read=lambda _: np.zeros((1, 1, 3)),
        )

    return make


@pytest.fixture
def generator() -> Generator:
    torch.manual_seed(5)
    return rewrite(Generator(8, 3).double().eval())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(200, 328), (301, 207), (97, 402)])
@torch.inference_mode()
def test_tiles_give_the_same_result_as_the_whole_picture(
    generator: Generator, scene: Scene, make_context: MakeContext, size: tuple[int, int]
) -> None:
    image = scene(*size).double()
    whole = fast.freeze(generator, fast.shrink(image, 9000))(image)
    context = make_context(Plan(tile=96, precision="float64"))
    tiled = fast.stylise(image, generator, context, limit=9000)
    assert context.tiles > 4
    assert tiled.shape == image.shape
    assert float((tiled - whole).abs().max()) < 1e-10


@pytest.mark.parametrize("size", [(64, 96), (61, 75), (24, 24)])
@torch.inference_mode()
def test_the_network_is_rewritten_without_changing_its_pictures(
    scene: Scene, size: tuple[int, int]
) -> None:
    torch.manual_seed(6)
    trained, image = Generator(8, 2).double().eval(), scene(*size).double()
    before = trained(image)
    assert torch.allclose(rewrite(trained)(image), before, rtol=0, atol=1e-13)


@torch.inference_mode()
def test_progress_advances_with_each_tile(
    generator: Generator, scene: Scene, make_context: MakeContext
) -> None:
    progress: list[float] = []
    plan = Plan(tile=96, precision="float64")
    context = make_context(plan, lambda done, _note, _tiles: progress.append(done))
    fast.stylise(scene(200, 328).double(), generator, context, limit=9000)
    assert progress[0] == 0.1
    assert progress[-1] == 1
    steps = np.diff(progress)
    assert len(steps) == context.tiles > 4
    assert np.allclose(steps, 0.9 / context.tiles)


@torch.inference_mode()
def test_frozen_norms_change_nothing_for_the_picture_they_come_from(
    generator: Generator, scene: Scene
) -> None:
    image = scene(64, 96).double()
    assert torch.allclose(fast.freeze(generator, image)(image), generator(image), atol=1e-10)


def test_the_network_computes_in_the_faster_layout() -> None:
    weights = FakeContext().load(str(names.find("eddies")), fast._read).state_dict().values()
    assert all(weight.is_contiguous() for weight in weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", names.shipped())
def test_a_shipped_network_stylises_a_recognisable_picture(scene: Scene, name: str) -> None:
    image = scene(120, 160)
    stylised = fast.render(image, StyleParams(fast=name), FakeContext())
    assert stylised.shape == image.shape
    assert float(stylised.std((2, 3)).min()) > 0.05, "a channel is nearly blank"
    likeness = np.corrcoef(stylised.mean(1).flatten(), image.mean(1).flatten())[0, 1]
    assert likeness > 0.5, "the picture is not recognisable"
    assert float((stylised - image).abs().mean()) > 0.05, "the picture did not change"


@pytest.mark.slow
def test_fast_style_meets_the_contract_of_effects() -> None:
    check_effect(Style, EDDIES)


def test_the_shipped_networks_are_small_and_described() -> None:
    card = (names.SHIPPED / "CARD.md").read_text()
    for name in names.shipped():
        assert Path(names.find(name)).stat().st_size <= 1_000_000
        assert f"## {name}" in card
    assert "eddies" in names.shipped()


def test_a_network_survives_writing_and_reading(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network, path = Generator(4, 1), tmp_path / "network.safetensors"
    path.write_bytes(to_bytes(network, {"style": "waves"}))
    restored = read_generator(path).state_dict()
    for name, value in network.state_dict().items():
        assert torch.equal(restored[name], value.half().float())


def test_the_folder_of_a_run_stands_for_its_network(tmp_path: Path) -> None:
    (tmp_path / names.RESULT).write_bytes(to_bytes(Generator(4, 1), {}))
    assert names.find(str(tmp_path)) == str(tmp_path / names.RESULT)


def test_an_unknown_network_is_refused_with_the_known_names() -> None:
    with pytest.raises(
        BadParameter,
        match=r"no trained style network 'starry'; give .*eddies.*, a \.safetensors file",
    ):
        names.find("starry")


def test_a_file_without_a_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(
        BadInput, match=r"not a trained style network \(.*\); see `farm train-style`"
    ):
        read_generator(path)


def test_a_tiny_picture_is_refused() -> None:
    tiny: Tensor = torch.rand(1, 3, 8, 200)
    reason = "a picture of 200x8 is too small; use at least 24 pixels per side"
    with pytest.raises(BadParameter, match=reason):
        fast.render(tiny, EDDIES, FakeContext())
