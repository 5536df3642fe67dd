"""The dream: tiles, masks, objectives and checks, with the starter network."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from farm import BadInput, BadParameter, NetworkSpec, Previous, UnknownName
from farm.engine.context import to_array
from farm.engine.networks import NetworkCache
from farm.engine.pyramid import resize
from farm.execution.coherence import FrameBefore
from farm.model.job import Plan
from farm.testing import FakeContext
from farm_dream.params import DreamParams
from farm_dream.task import Dream

from ..seams import border_ratio  # noqa: TID252 - shared with the style
from .conftest import Render, Scene

FLOAT64 = Plan(tile=0, precision="float64")


@pytest.mark.slow
def test_a_dream_in_float64_is_the_same_with_tiles(render: Render, scene: Scene) -> None:
    image = scene(300, 380)
    whole = render(image, FLOAT64)
    tiled = render(image, Plan(tile=256, precision="float64"))
    difference = (whole - tiled).abs()
    assert float(difference.max()) < 1 / 255, f"largest at {difference.argmax()}"
    assert float((whole - image).abs().mean()) > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scene", "flat sky"])
def test_tiles_leave_no_seams_in_float32(render: Render, scene: Scene, kind: str) -> None:
    sky = torch.linspace(0.75, 0.45, 960).view(1, 1, 960, 1).expand(1, 3, 960, 1280).clone()
    image = scene(960, 1280) if kind == "scene" else sky
    dreamt = render(
        image, Plan(tile=64), layers=("inception3b",), octaves=1, jitter=0, iterations=4
    )
    assert float((dreamt - image).abs().mean()) > 0.01
    assert border_ratio(dreamt, 64) == pytest.approx(1, abs=0.02)


def test_border_ratio_detects_a_seam(render: Render, scene: Scene) -> None:
    image = scene(256, 256)
    image[..., 64::64, :] += 0.05
    assert border_ratio(image, 64) > 1.05


@pytest.mark.slow
def test_dreaming_raises_the_objective(
    render: Render, scene: Scene, networks: NetworkCache
) -> None:
    from farm.engine import gradient, objectives

    image = scene(128, 160)
    extractor = networks.get("starter", None, "float32").extractor(("inception4c",))
    before, _ = gradient.gradient(image, extractor, objectives.Energy({"inception4c": 1.0}), 0)
    dreamt = render(image, octaves=2)
    after, _ = gradient.gradient(dreamt, extractor, objectives.Energy({"inception4c": 1.0}), 0)
    assert after > 1.4 * before


@pytest.mark.slow
def test_the_seed_decides_the_dream(render: Render, scene: Scene) -> None:
    image = scene(96, 112)
    once, again = (render(image, octaves=1, iterations=3) for _ in range(2))
    other = render(image, Plan(tile=0, seed=1), octaves=1, iterations=3)
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


@pytest.mark.slow
def test_step_is_the_mean_change_in_levels_of_255(render: Render) -> None:
    grey = torch.full((1, 3, 128, 128), 0.5)
    grey[..., 40:80, 40:80] = 0.6
    dreamt = render(grey, octaves=1, iterations=1, step=3.0)
    assert float((dreamt - grey).abs().mean() * 255) == pytest.approx(3, rel=0.02)


@pytest.mark.slow
def test_black_areas_of_the_mask_stay_unchanged(render: Render, scene: Scene) -> None:
    image = scene(96, 96)
    mask = torch.zeros(1, 3, 96, 96)
    mask[..., :48] = 1
    dreamt = render(image, octaves=1, iterations=3, mask="/m.png", reads={"/m.png": mask})
    assert torch.equal(dreamt[..., 48:], image[..., 48:])
    assert float((dreamt[..., :48] - image[..., :48]).abs().mean()) > 0.005


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ascent", "enhance"])
def test_a_mask_of_another_size_is_scaled_to_the_picture(
    render: Render, scene: Scene, method: str
) -> None:
    image, quick = scene(96, 128), {"octaves": 1, "iterations": 3, "method": method}
    large = torch.zeros(1, 3, 193, 256)
    large[..., :128] = 1
    dreamt = render(image, mask="/m.png", reads={"/m.png": large}, **quick)
    assert torch.equal(dreamt[..., 65:], image[..., 65:])
    assert float((dreamt[..., :64] - image[..., :64]).abs().mean()) > 0.001


@pytest.mark.parametrize("method", ["ascent", "enhance"])
@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (
            torch.ones(1, 3, 64, 200),
            "the mask is 200x64 but the picture is 96x64; crop the mask to the same aspect ratio",
        ),
        (torch.zeros(1, 3, 64, 96), "the mask is black everywhere, so nothing would change"),
    ],
)
def test_an_unusable_mask_is_refused(
    render: Render, scene: Scene, mask: Tensor, reason: str, method: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        render(scene(64, 96), mask="/m.png", reads={"/m.png": mask}, method=method)


@pytest.mark.slow
@pytest.mark.parametrize(
    "params",
    [
        {"layers": ("inception3b", "inception4c=0.5")},
        {"channels": (3, "5=0.5")},
        {"channels": tuple(range(40)), "neuron": (0.5, 0.5)},
        {"classes": ("0",), "start": "mean", "l2": 0.05},
        {"classes": ("1", "2"), "start": "noise"},
        {"laplacian": 4},
        {"smooth": 1.5},
        {"method": "enhance", "tv": 0.1, "octaves": 1},
    ],
    ids=str,
)
def test_every_method_and_objective_gives_a_valid_picture(
    render: Render, scene: Scene, params: dict[str, Any]
) -> None:
    image = scene(96, 96)
    dreamt = render(image, **{"octaves": 2, "iterations": 2, **params})
    assert dreamt.shape == image.shape
    assert dreamt.isfinite().all()
    assert 0 <= float(dreamt.min()) <= float(dreamt.max()) <= 1
    assert float((dreamt - image).abs().mean()) > 0.001


@pytest.mark.slow
def test_different_guides_give_different_dreams(render: Render, scene: Scene) -> None:
    image = scene(96, 96)
    guides = {"/a.png": scene(80, 64), "/b.png": 1 - scene(64, 96)}
    one, other = (
        render(image, octaves=1, iterations=3, guide=name, reads=guides) for name in guides
    )
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_enhance_approaches_the_amplified_features(
    render: Render, scene: Scene, networks: NetworkCache
) -> None:
    from farm.engine import gradient

    image = scene(96, 96)
    extractor = networks.get("starter", None, "float32").extractor(("inception3b",))
    target = 2 * gradient.features(image, extractor, 0)["inception3b"]
    better = render(
        image, method="enhance", layers=("inception3b",), amplify=2.0, octaves=1, iterations=10
    )
    distances = [
        float((gradient.features(x, extractor, 0)["inception3b"] - target).norm())
        for x in (image, better)
    ]
    assert distances[1] < 0.95 * distances[0]


@pytest.mark.slow
def test_enhance_changes_a_larger_picture_no_less(render: Render, scene: Scene) -> None:
    drawn = scene(384, 576)
    changes = []
    for size in ((128, 192), (256, 384), (384, 576)):
        image = resize(drawn, *size)
        enhanced = render(image, method="enhance", octaves=1, iterations=20)
        changes.append(255 * float((enhanced - image).abs().mean()))
    assert all(0.9 < change / changes[0] < 1.3 for change in changes)


@pytest.mark.slow
def test_enhancement_in_float64_is_the_same_with_tiles(render: Render, scene: Scene) -> None:
    image, quick = scene(150, 230), {"method": "enhance", "octaves": 1, "iterations": 4}
    whole, tiled = (
        render(image, Plan(tile=tile, precision="float64"), **quick) for tile in (0, 128)
    )
    assert float((whole - tiled).abs().max()) < 1e-9
    assert float((whole - image).abs().mean()) > 0.001


@pytest.mark.slow
def test_octaves_too_small_for_the_network_are_skipped(render: Render, scene: Scene) -> None:
    image = scene(40, 40)
    assert render(image, octaves=12, iterations=1).shape == image.shape


def test_the_weights_of_a_channel_that_is_given_again_add_up() -> None:
    params = DreamParams(channels=("5", "3", "05=0.5"))
    assert params.channel_weights() == {5: 1.5, 3: 1}


def test_a_network_without_the_default_layer_is_told_from_a_misspelling(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
    save_file(module.state_dict(), tmp_path / "small.safetensors")
    context = FakeContext(networks=[NetworkSpec("small", lambda: module)])
    weights = str(tmp_path / "small.safetensors")
    params = DreamParams(network="small", weights=weights)
    with pytest.raises(UnknownName, match=r"choose one of 0; it is the default layer, which only"):
        Dream(params).check(context)
    with pytest.raises(UnknownName, match=r"choose one of 0$"):
        Dream(params.model_copy(update={"layers": ("1",)})).check(context)


def test_unknown_names_are_refused_before_rendering(render: Render, scene: Scene) -> None:
    image = scene(64, 64)
    with pytest.raises(UnknownName, match=r"layer of starter 'inception4z'; did you mean"):
        render(image, layers=("inception4z",))
    with pytest.raises(UnknownName, match="unknown network 'startr'; did you mean starter"):
        render(image, network="startr")
    with pytest.raises(UnknownName, match="unknown class of starter 'unicorn'"):
        render(image, classes=("unicorn",))
    with pytest.raises(BadParameter, match=r"inception4c has channels 0 to \d+, not 9999"):
        render(image, channels=(9999,))


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"layers": ("a=x",)}, "is not a number; give, for example, NAME=0.5"),
        ({"layers": ("a=",)}, "the weight in 'a=' is not a number; give, for example, NAME=0.5"),
        ({"layers": ("a=b=1",)}, "the weight in 'a=b=1' is not a number"),
        ({"layers": ("=1",)}, "give NAME or NAME=WEIGHT"),
        ({"layers": ("a=nan",)}, "the weight of a is nan; it must be between -1000000 and 1000000"),
        ({"layers": ("a=-inf",)}, "the weight of a is -inf; it must be between"),
        ({"layers": ("a=1e39",)}, "the weight of a is 1e39; it must be between"),
        ({"classes": ("cat=inf",)}, "the weight of cat is inf; it must be between"),
        ({"channels": ("x",)}, "give NUMBER or NUMBER=WEIGHT; channels count from 0"),
        ({"channels": (-1,)}, "give NUMBER or NUMBER=WEIGHT; channels count from 0"),
        ({"neuron": (0.5, 0.5)}, "needs a channel; add `channels`"),
        ({"neuron": (0.5, 2), "channels": (1,)}, "fractions of the picture, from 0 to 1"),
        (
            {"channels": (1,), "guide": "g.png"},
            "`channels` and `guide` cannot be combined; choose one",
        ),
        (
            {"classes": ("1",), "layers": ("conv3",)},
            "`layers` has no effect with `classes`; omit one, or set `layers` back to inception4c",
        ),
        ({"method": "enhance", "classes": ("1",)}, "give only `layers`"),
        ({"scale": 1.0}, "greater than 1"),
    ],
)
def test_invalid_combinations_are_refused(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        DreamParams(**params)


@pytest.mark.slow
def test_a_coherent_frame_continues_the_previous_one_and_dreams_anew_what_comes_into_view(
    render: Render, scene: Scene
) -> None:
    image, quick = scene(96, 128), {"octaves": 2, "iterations": 10}
    previous = render(image, **quick)
    trust = torch.zeros(1, 1, 96, 128)
    trust[..., :64] = 1
    after = render(image, previous=Previous(previous, trust, previous, image, image), **quick)
    strength = float((previous - image).abs().mean())
    assert float((after - previous)[..., :48].abs().mean()) < 0.6 * strength
    assert float((after - previous)[..., 80:].abs().mean()) > strength
    assert float((after - image)[..., 80:].abs().mean()) > 0.8 * strength


@pytest.mark.slow
def test_coherent_dreams_are_as_strong_and_as_fine_as_dreams_of_single_frames(
    render: Render, scene: Scene
) -> None:
    wide, quick = scene(192, 320), {"octaves": 2}
    frames = [resize(wide[..., 5 * n : 5 * n + 256], 96, 128) for n in range(10)]
    alone = [to_array(render(frame, **quick)) for frame in frames]
    sources, film = [to_array(frame) for frame in frames], [alone[0]]
    for last, frame in pairwise(frames):
        before = FrameBefore(to_array(last), film[-1], to_array(frame))
        rendered = render(frame, previous=before.previous("cpu", Plan()), **quick)
        film.append(before.lead_to(to_array(rendered), Dream(DreamParams(**quick))))
    strengths, details = [], []
    for source, single, coherent in zip(sources, alone, film, strict=True):
        strengths.append(np.abs(coherent - source).mean() / np.abs(single - source).mean())
        details.append(detail(coherent) / detail(single))
    assert 0.93 < min(strengths) <= max(strengths) < 1.07
    assert 0.9 < min(details) <= max(details) < 1.1


def detail(picture: np.ndarray) -> float:
    return float(np.abs(picture - cv2.GaussianBlur(picture, (0, 0), 1.0)).mean())
