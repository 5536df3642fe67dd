"""A painter paints any size alike: whole or in tiles, and says what it cannot take."""

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
from farm_style import fast
from farm_style.generator import Generator
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
    return Generator(8, 3).double().eval()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(200, 328), (301, 207), (97, 402)])
@torch.inference_mode()
def test_tiles_are_the_whole_picture(
    generator: Generator, scene: Scene, make_context: MakeContext, size: tuple[int, int]
) -> None:
    image = scene(*size).double()
    whole = fast.freeze(generator, fast.shrunk(image, 9000))(image)
    context = make_context(Plan(tile=96, precision="float64"))
    tiled = fast.paint(image, generator, context, whole=9000)
    assert context.tiles > 4
    assert tiled.shape == image.shape
    assert float((tiled - whole).abs().max()) < 1e-10


@torch.inference_mode()
def test_progress_goes_on_with_each_tile(
    generator: Generator, scene: Scene, make_context: MakeContext
) -> None:
    told: list[float] = []
    plan = Plan(tile=96, precision="float64")
    context = make_context(plan, lambda done, _note, _tiles: told.append(done))
    fast.paint(scene(200, 328).double(), generator, context, whole=9000)
    assert told[0] == 0.1
    assert told[-1] == 1
    steps = np.diff(told)
    assert len(steps) == context.tiles > 4
    assert np.allclose(steps, 0.9 / context.tiles)


@torch.inference_mode()
def test_a_frozen_painter_is_the_painter_on_the_picture_it_was_frozen_by(
    generator: Generator, scene: Scene
) -> None:
    image = scene(64, 96).double()
    assert torch.allclose(fast.freeze(generator, image)(image), generator(image), atol=1e-10)


@pytest.mark.slow
def test_the_style_that_comes_with_the_farm_paints(scene: Scene) -> None:
    image = scene(120, 160)
    painted = fast.render(image, EDDIES, FakeContext())
    assert painted.shape == image.shape
    assert float(painted.std((2, 3)).min()) > 0.05, "a channel is nearly blank"
    likeness = np.corrcoef(painted.mean(1).flatten(), image.mean(1).flatten())[0, 1]
    assert likeness > 0.5, "the picture is not recognised"
    assert float((painted - image).abs().mean()) > 0.05, "nothing was painted"


@pytest.mark.slow
def test_it_keeps_what_the_farm_expects_of_an_effect() -> None:
    check_effect(Style, EDDIES)


def test_the_style_that_comes_with_the_farm_is_small() -> None:
    assert fast.shipped() == ("eddies",)
    assert fast.find("eddies").stat().st_size < 2 * 2**20


def test_a_painter_survives_its_file(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made, path = Generator(4, 1), tmp_path / "painter.safetensors"
    path.write_bytes(to_bytes(made, {"style": "waves"}))
    again = read_generator(path).state_dict()
    for name, value in made.state_dict().items():
        assert torch.equal(again[name], value.half().float())


def test_a_runs_folder_is_its_painter(tmp_path: Path) -> None:
    (tmp_path / fast.RESULT).write_bytes(to_bytes(Generator(4, 1), {}))
    assert fast.find(str(tmp_path)) == tmp_path / fast.RESULT


def test_an_unknown_style_is_refused_naming_the_known() -> None:
    with pytest.raises(BadParameter, match=r"no style 'starry'; give eddies, a \.safetensors file"):
        fast.find("starry")


def test_a_file_that_holds_no_painter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(BadInput, match=r"holds no painter .*; see `farm train-style`"):
        read_generator(path)


def test_a_picture_without_room_for_a_stroke_is_refused() -> None:
    tiny: Tensor = torch.rand(1, 3, 8, 200)
    with pytest.raises(BadParameter, match="a picture of 200x8 is too small; take 24 a side"):
        fast.render(tiny, EDDIES, FakeContext())
