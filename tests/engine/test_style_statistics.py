"""Style statistics add up over tiles; their distance is smooth, and 0 for the style itself."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from farm.engine.gradient import gradient, statistics
from farm.engine.networks import Network
from farm.engine.objectives import Target
from farm.engine.style_statistics import Gaussian, Goal, Gram, Style, StyleDistance
from farm.host.registry import Registry
from farm_networks.torchvision_models import torchvision_spec

LAYERS = {
    "vgg19": {"relu1_1": 0.2, "relu2_1": 0.3, "relu3_1": 0.5},
    "starter": {"conv1": 0.5, "conv3": 0.3, "inception3b": 0.2},
}
KINDS = [Gram, Gaussian]


@pytest.fixture(scope="module", params=list(LAYERS))
def network(request: pytest.FixtureRequest) -> Network:
    """A network with random weights, in float64."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    specs = Registry.load().networks
    spec = specs.get(request.param) or torchvision_spec(request.param)
    module = spec.build()
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
    return Network(spec, module, "", "cpu", "float64")


def picture(height: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


def make_objective(network: Network, kind: type[Goal], mask: Tensor | None = None) -> StyleDistance:
    weights = LAYERS[network.name]
    extractor = network.extractor(tuple(weights))
    styles = []
    for seed in (1, 2) if mask is not None else (1,):
        moments = statistics(picture(70, 90, seed), extractor, StyleDistance(kind, weights), 0)
        goals = {layer: kind(regions[0]) for layer, regions in moments.items()}
        area = None if mask is None else (mask if seed == 1 else 1 - mask)
        styles.append(Style(goals, 0.5 + seed, area))
    return StyleDistance(kind, weights, styles)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("tile", [64, 100])
def test_tiles_give_the_whole_pictures_gradient(
    network: Network,
    kind: type[Goal],
    tile: int,
    is_masked: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    image = picture(131, 155, 9)
    mask = (torch.arange(155.0, dtype=torch.float64) / 154).expand(1, 1, 131, 155)
    style = make_objective(network, kind, mask if is_masked else None)
    deepest = list(LAYERS[network.name])[-1]
    extractor = network.extractor(tuple(LAYERS[network.name]))
    goal = extractor(picture(131, 155, 4))[deepest]
    objectives = (style, Target({deepest: 0.3}, {deepest: goal}))
    value, whole = gradient(image, extractor, objectives, 0)
    tiled_value, tiled = gradient(image, extractor, objectives, tile)
    assert tiled_value == pytest.approx(value, rel=1e-12)
    assert float((tiled - whole).norm() / whole.norm()) < 1e-10


@pytest.mark.parametrize("kind", KINDS)
def test_a_style_has_distance_0_to_itself_and_not_to_others(
    network: Network, kind: type[Goal]
) -> None:
    style, extractor = make_objective(network, kind), network.extractor(tuple(LAYERS[network.name]))
    own, _ = gradient(picture(70, 90, 1), extractor, style, 0)
    other, _ = gradient(picture(70, 90, 7) ** 3, extractor, style, 0)
    assert own == pytest.approx(0, abs=1e-9)
    assert other < -1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_matches_finite_differences(network: Network, kind: type[Goal]) -> None:
    style, extractor = make_objective(network, kind), network.extractor(tuple(LAYERS[network.name]))
    image, direction = picture(60, 64, 5), picture(60, 64, 6) - 0.5
    _, derivative = gradient(image, extractor, style, 0)
    step = 1e-6
    ahead, behind = (gradient(image + s * direction, extractor, style, 0)[0] for s in (step, -step))
    assert (ahead - behind) / (2 * step) == pytest.approx(
        float((derivative * direction).sum()), rel=1e-4
    )


def _rows(make: Callable[[], Tensor]) -> Tensor:
    torch.manual_seed(0)
    return make()


def test_identical_features_have_a_finite_gradient() -> None:
    rows = _rows(lambda: torch.rand(50, 8, dtype=torch.float64))
    goal = Gaussian(Gaussian.moments(rows, 1 / 50))
    flat = torch.full((50, 8), 0.3, dtype=torch.float64, requires_grad=True)
    goal.distance(Gaussian.moments(flat, 1 / 50)).backward()
    assert flat.grad is not None
    assert bool(flat.grad.isfinite().all())


def test_the_distance_of_two_gaussians_matches_the_closed_form() -> None:
    rows = _rows(lambda: torch.randn(4000, 3, dtype=torch.float64))
    goal = Gaussian(Gaussian.moments(rows, 1 / 4000))
    moved = goal.distance(Gaussian.moments(2 * rows + 1, 1 / 4000))
    mean, variance = rows.mean(0), rows.var(0, correction=0)
    size = mean.square().sum() + variance.sum()
    known = (mean + 1).square().sum() + variance.sum()  # (2s - s)^2 = s^2
    assert float(moved) == pytest.approx(float(known / size), rel=0.01)
