"""Style transfer by optimisation: results, tiles, masks and checks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from farm import BadInput, BadParameter
from farm.engine.context import FrameContext, to_array
from farm.engine.networks import NetworkCache
from farm.host.schedule import Schedule
from farm.host.vetting import validate_params
from farm.model.job import Plan
from farm_style.params import StyleParams
from farm_style.task import Style
from farm_style.transfer import roughness

from ..seams import border_ratio  # noqa: TID252 - shared with the dream
from .conftest import Scene

Stylise = Callable[..., Tensor]

QUICK = {"iterations": 12, "scales": 2}
CANVAS = (384, 512)
"""Height and width of the pictures in which seams are measured."""

TILE, STRIDE = 128, 16
"""Pixels between borders of tiles, and between lines of the grid of the starter's default layers."""


@pytest.fixture
def stylise(networks: NetworkCache) -> Stylise:
    """Stylise: ``stylise(image, {"/style": picture}, plan=Plan(...), **params)``."""

    def run(
        image: Tensor, reads: dict[str, Tensor], plan: Plan | None = None, **params: Any
    ) -> Tensor:
        pictures = {name: to_array(picture) for name, picture in reads.items()}
        context = FrameContext(
            device="cpu",
            plan=plan or Plan(tile=0),
            networks=networks,
            frame="frame",
            report=lambda *_: None,
            is_cancelled=lambda: False,
            read=pictures.__getitem__,
        )
        style = Style(validate_params(Style, {"styles": ["/style"], **QUICK, **params}))
        style.check(context)
        with torch.no_grad():
            return style.render(image.to(context.dtype), context)

    return run


@pytest.fixture
def stripes() -> Tensor:
    """A style picture: orange stripes on blue."""
    columns = (torch.arange(120.0) / 4).sin().expand(100, 120)[None, None]
    blue, orange = torch.tensor([0.1, 0.2, 0.6]), torch.tensor([0.9, 0.5, 0.1])
    return torch.lerp(blue.view(1, 3, 1, 1), orange.view(1, 3, 1, 1), columns * 0.5 + 0.5)


def photograph(path: Path, height: int, width: int) -> Tensor:
    with Image.open(path) as file:
        pixels = np.asarray(file.convert("RGB").resize((width, height)), dtype=np.float32)
    return torch.from_numpy(pixels / 255).permute(2, 0, 1)[None]


def likeness(one: Tensor, other: Tensor) -> float:
    return float(np.corrcoef(one.mean(1).flatten(), other.mean(1).flatten())[0, 1])


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{}, {"optimizer": "lbfgs", "strength": 1.25}, {"statistic": "gram"}]
)
def test_the_result_has_the_colours_of_the_style_and_the_content_of_the_picture(
    stylise: Stylise, scene: Scene, stripes: Tensor, more: dict[str, Any]
) -> None:
    image = scene(96, 128)
    stylised = stylise(image, {"/style": stripes}, **{**QUICK, "iterations": 40, **more})
    before, after = (
        (x.mean((0, 2, 3)) - stripes.mean((0, 2, 3))).norm() for x in (image, stylised)
    )
    assert float(after) < 0.8 * float(before), "the colours are not the style's"
    assert likeness(stylised, image) > 0.4
    assert float(stylised.std((2, 3)).min()) > 0.05, "a channel is nearly blank"


@pytest.mark.slow
def test_more_strength_gives_more_of_the_style_and_less_of_the_picture(
    stylise: Stylise, scene: Scene, stripes: Tensor
) -> None:
    image = scene(96, 128)
    steps = {**QUICK, "iterations": 30}
    gentle, usual, bold = (
        stylise(image, {"/style": stripes}, strength=strength, **steps) for strength in (0.3, 1, 3)
    )
    assert likeness(gentle, image) > likeness(usual, image) + 0.02 > likeness(bold, image) + 0.04


def test_a_hint_is_smoothed_less_and_a_bold_picture_as_usual(
    stylise: Stylise, scene: Scene, stripes: Tensor
) -> None:
    image, reads, steps = scene(48, 512), {"/style": stripes}, {**QUICK, "iterations": 3}
    for strength, tv in ((0.5, 3.0), (2.0, 6.0)):
        weights = {"style_weight": strength, "content_weight": 0.04 / strength, "tv": tv}
        by_hand = stylise(image, reads, **steps, **weights)
        given = stylise(image, reads, **steps, strength=strength, tv=6.0)
        assert float((by_hand - given).abs().max()) < 1 / 255


def test_roughness_has_the_gradient_of_its_value() -> None:
    picture = torch.rand(1, 3, 33, 47, dtype=torch.float64)
    value, gradient = roughness(picture)
    leaf = picture.clone().requires_grad_()
    down, right = leaf.diff(dim=2), leaf.diff(dim=3)
    known = down.square().mean() + right.square().mean()
    known.backward()
    assert float(value) == pytest.approx(float(known.detach()))
    torch.testing.assert_close(gradient, leaf.grad)


def test_a_small_picture_gets_less_strength(
    stylise: Stylise, scene: Scene, stripes: Tensor
) -> None:
    """At 256 pixels, half of it: half the style and smoothness, twice the content."""
    image, reads, steps = scene(48, 256), {"/style": stripes}, {**QUICK, "iterations": 3}
    half = {"style_weight": 0.5, "content_weight": 0.08, "tv": 30.0}
    by_hand = stylise(image, reads, **steps, **half, strength=2)
    usual = stylise(image, reads, **steps, tv=60.0)
    assert float((by_hand - usual).abs().max()) < 1 / 255


def test_strength_is_not_for_trained_networks() -> None:
    with pytest.raises(BadParameter, match="`strength` is for `styles`"):
        validate_params(Style, {"fast": "eddies", "strength": 2})


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["gram", "w2"])
def test_a_result_in_float64_is_the_same_with_tiles(
    stylise: Stylise, scene: Scene, stripes: Tensor, statistic: str
) -> None:
    image, reads = scene(150, 190), {"/style": stripes}
    whole, tiled = (
        stylise(image, reads, Plan(tile=tile, precision="float64"), statistic=statistic)
        for tile in (0, 80)
    )
    assert float((whole - tiled).abs().max()) < 1 / 255


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["scene", pytest.param("photograph", marks=pytest.mark.proof)])
def test_tiles_leave_no_seams_in_float32(
    stylise: Stylise, scene: Scene, stripes: Tensor, kind: str, request: pytest.FixtureRequest
) -> None:
    image, style = scene(*CANVAS), stripes
    if kind == "photograph":
        shared = request.getfixturevalue("shared_data")
        image = photograph(shared / "photos" / "tubingen.jpg", *CANVAS)
        style = photograph(shared / "paintings" / "starry_night.jpg", 320, 512)
    whole, tiled = (
        stylise(image, {"/style": style}, Plan(tile=tile), scales=1, iterations=10)
        for tile in (0, TILE)
    )
    assert float((tiled - image).abs().mean()) > 0.02
    ratios = [border_ratio(stylised, TILE, STRIDE) for stylised in (tiled, whole)]
    assert ratios[0] / ratios[1] == pytest.approx(1, abs=0.02)


@pytest.mark.slow
def test_independent_tiles_show_seams(stylise: Stylise, scene: Scene, stripes: Tensor) -> None:
    image = scene(*CANVAS)
    bands = [
        torch.cat(
            [
                stylise(piece, {"/style": stripes}, scales=1, iterations=10)
                for piece in band.split(TILE, dim=3)
            ],
            dim=3,
        )
        for band in image.split(TILE, dim=2)
    ]
    assert border_ratio(torch.cat(bands, dim=2), TILE, STRIDE) > 1.05


@pytest.mark.slow
def test_a_mask_limits_a_style_to_its_area(stylise: Stylise, scene: Scene, stripes: Tensor) -> None:
    image = scene(96, 128)
    left = torch.zeros(1, 3, 96, 128)
    left[..., :64] = 1
    reads = {
        "/style": stripes,
        "/green": scene(90, 90) * torch.tensor([0.2, 1, 0.3]).view(1, 3, 1, 1),
    }
    reads |= {"/left": left, "/right": 1 - left}
    stylised = stylise(
        image,
        reads,
        styles=["/style", "/green"],
        masks=["/left", "/right"],
        iterations=30,
        content_weight=0.05,
    )
    excess = stylised[:, 1] - stylised[:, (0, 2)].mean(1)
    assert float(excess[..., 80:].mean()) > float(excess[..., :48].mean())


@pytest.mark.slow
def test_a_mix_moves_from_one_style_to_another(
    stylise: Stylise, scene: Scene, stripes: Tensor
) -> None:
    image, styles = scene(64, 96), ["/in/orange.jpg", "/in/green.jpg"]
    green = scene(90, 90) * torch.tensor([0.2, 1, 0.3]).view(1, 3, 1, 1)
    reads = {styles[0]: stripes, styles[1]: green}
    more = {**QUICK, "iterations": 25}
    mixes = ["orange.jpg"], ["orange.jpg=0.5", "green.jpg=0.5"], ["green.jpg"]
    pictures = [stylise(image, reads, styles=styles, mix=mix, **more) for mix in mixes]
    excess = [float((x[:, 1] - x[:, (0, 2)].mean(1)).mean()) for x in pictures]
    assert excess[0] + 0.02 < excess[1] < excess[2] - 0.02
    assert torch.equal(pictures[2], stylise(image, reads, styles=styles[1:], **more))


def test_styles_cross_fade_over_time() -> None:
    given = {"styles": ["/in/a.jpg", "/in/b.jpg=2"], "at": ["0 mix=a.jpg", "4 mix=b.jpg"]}
    schedule = Schedule.of(validate_params(Style, given))
    assert schedule
    for seconds, weights in ((0, (1, 0)), (1, (0.75, 0.5)), (4, (0, 2)), (9, (0, 2))):
        params = schedule.at(seconds, 0)
        assert isinstance(params, StyleParams)
        assert [weight for _, weight in params.style_weights()] == list(weights)


@pytest.mark.slow
def test_luminance_keeps_the_colours_of_the_picture(
    stylise: Stylise, scene: Scene, stripes: Tensor
) -> None:
    image = scene(96, 128)
    kept = stylise(image, {"/style": stripes}, keep_colours="luminance")
    free = stylise(image, {"/style": stripes})
    changes = [float((x.mean((2, 3)) - image.mean((2, 3))).abs().max()) for x in (kept, free)]
    assert changes[0] < changes[1]


@pytest.mark.slow
def test_bfloat16_gives_a_valid_picture(stylise: Stylise, scene: Scene, stripes: Tensor) -> None:
    stylised = stylise(scene(64, 96), {"/style": stripes}, Plan(tile=0, precision="bfloat16"))
    assert bool(stylised.isfinite().all())


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"styles": []}, "give a style picture with `styles`, or a trained style network"),
        ({"masks": ["/a", "/b"]}, "2 `masks` for 1 `styles`; give one for each"),
        ({"mix": ["wave.jpg"]}, "`mix` has wave.jpg; the style pictures are style"),
        (
            {"mix": ["/style"]},
            "give the name of a style picture's file without its folder, not /style",
        ),
        ({"mix": ["style=0"]}, "`mix` gives no style picture a weight; give one above 0"),
        (
            {"styles": ["/a/p.jpg", "/b/p.jpg"], "mix": ["p.jpg"]},
            "`mix` has p.jpg, the name of several style pictures; rename one",
        ),
        ({"mix": ["style=nan"]}, "the weight of style is nan; it must be from 0 to 1000000"),
        (
            {"at": ["0 mix=style", "1 mix=wave.jpg"]},
            "`mix` has wave.jpg; the style pictures are style",
        ),
        (
            {"styles": [], "fast": "starry"},
            "no trained style network 'starry'; give .*eddies.*, or the folder of a finished",
        ),
        (
            {"styles": [], "fast": "eddies", "at": ["2 fast=ink"]},
            "`fast` has one look, in which `at` changes nothing; for looks that cross-fade, give",
        ),
        ({"style_weight": 0}, "`style_weight` 0 changes nothing; give a value above 0"),
    ],
)
def test_invalid_combinations_are_refused(params: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadParameter, match=reason):
        validate_params(Style, {"styles": ["/style"], **params})


@pytest.mark.slow
def test_a_tiny_style_picture_is_refused(stylise: Stylise, scene: Scene, stripes: Tensor) -> None:
    with pytest.raises(
        BadInput, match="20x20 is too small for a style picture; use at least 32x32"
    ):
        stylise(scene(64, 64), {"/style": stripes[..., :20, :20]})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (
            torch.ones(1, 3, 64, 200),
            "the mask is 200x64 but the picture is 96x64; crop the mask to the same aspect ratio",
        ),
        (
            torch.zeros(1, 3, 64, 96),
            "the mask is black everywhere, so nothing would change; paint the areas to change white",
        ),
    ],
)
def test_an_unusable_mask_is_refused(
    stylise: Stylise, scene: Scene, stripes: Tensor, mask: Tensor, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        stylise(scene(64, 96), {"/style": stripes, "/mask": mask}, masks=["/mask"])
