"""Tiles give the gradient of the whole picture."""

from collections.abc import Mapping, Sequence

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from farm.engine import gradient as exact
from farm.engine import objectives
from farm.engine.networks import Shape
from farm.engine.tiles import Span
from farm.errors import BadParameter

from .conftest import RandomNetwork

CASES = [
    ("googlenet", ("inception4c",)),
    ("googlenet", ("conv2", "inception3b", "inception4c")),
    ("vgg19", ("relu3_1",)),
    pytest.param("vgg19", ("relu2_2", "relu4_1"), marks=pytest.mark.proof),
    ("resnet50", ("layer1", "layer3")),
    ("squeezenet1_0", ("features.5", "features.12")),
    ("inception_v3", ("Mixed_5b",)),
    ("inception_v3", ("Conv2d_2b_3x3", "Mixed_6a")),
]


def picture(height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(1, 3, height, width, generator=generator, dtype=dtype)


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


class Gram(objectives.Objective):
    """Squared norm of the Gram matrix, which is not linear in its statistics."""

    def __init__(self, layers: tuple[str, ...]) -> None:
        self.layers = layers

    def statistics(self, layer: str, features: Tensor, window: objectives.Window) -> Tensor:
        flat = features[0].flatten(1)
        return flat @ flat.T / window.positions

    def loss(self, statistics: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([s.square().mean() for s in statistics.values()]).sum()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), CASES)
@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(height=st.integers(90, 230), width=st.integers(90, 230), tile=st.integers(33, 128))
def test_the_tiled_gradient_equals_the_whole_gradient(
    random_network: RandomNetwork,
    name: str,
    layers: tuple[str, ...],
    height: int,
    width: int,
    tile: int,
) -> None:
    extractor = random_network(name, "float64").extractor(layers)
    objective = objectives.Energy(dict.fromkeys(layers, 1.0))
    image = picture(height, width)
    value, whole = exact.gradient(image, extractor, objective, 0)
    tiled_value, tiled = exact.gradient(image, extractor, objective, tile)
    assert relative(tiled, whole) < 1e-10
    assert tiled_value == pytest.approx(value, rel=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "objective",
    [
        objectives.Channels({"inception3b": 1.0}, [3, 100]),
        objectives.Channels({"inception3b": 1.0}, {3: 0.25, 100: 2.0}),
        objectives.Neurons({"inception3b": 1.0}, list(range(40)), y=0.6, x=0.3),
        objectives.Classes({5: 1.0, 17: 0.5}),
        Gram(("conv2", "inception3b")),
    ],
    ids=lambda o: type(o).__name__,
)
def test_every_objective_is_exact_in_tiles(
    random_network: RandomNetwork, objective: objectives.Objective
) -> None:
    extractor = random_network("googlenet", "float64").extractor(objective.layers)
    image = picture(173, 141)
    value, whole = exact.gradient(image, extractor, objective, 0)
    tiled_value, tiled = exact.gradient(image, extractor, objective, 64)
    assert relative(tiled, whole) < 1e-10
    assert tiled_value == pytest.approx(value, rel=1e-9)


def test_channels_and_neurons_are_mixed_by_weight() -> None:
    features = torch.rand(1, 5, 4, 6)
    span = Span(0, 4), Span(0, 6)
    window = objectives.Window(*span, Shape(5, 4, 6))

    def value(channels: Mapping[int, float] | Sequence[int]) -> list[float]:
        both = (
            objectives.Channels({"a": 1.0}, channels),
            objectives.Neurons({"a": 1.0}, channels, 0.5, 0.5),
        )
        return [float(one.statistics("a", features, window)) for one in both]

    mixed = [0.25 * a + 2 * b for a, b in zip(value([1]), value([3]), strict=True)]
    assert value({1: 0.25, 3: 2.0}) == pytest.approx(mixed)
    assert value({1: 1.0, 3: 1.0}) == value([1, 3])


@pytest.mark.slow
def test_guide_and_target_are_exact_in_tiles(random_network: RandomNetwork) -> None:
    extractor = random_network("googlenet", "float64").extractor(("inception3a",))
    image = picture(150, 131)
    wanted = exact.features(picture(150, 131), extractor, 0)
    guide = exact.features(picture(96, 80), extractor, 0)
    for objective in (
        objectives.Guide({"inception3a": 1.0}, guide, block=50),
        objectives.Target({"inception3a": 1.0}, {k: 2 * v for k, v in wanted.items()}),
    ):
        _, whole = exact.gradient(image, extractor, objective, 0)
        _, tiled = exact.gradient(image, extractor, objective, 48)
        assert relative(tiled, whole) < 1e-10


def test_the_gradient_matches_finite_differences(random_network: RandomNetwork) -> None:
    extractor = random_network("squeezenet1_0", "float64").extractor(("features.5",))
    objective = objectives.Energy({"features.5": 1.0})
    image, step = picture(64, 64), 1e-6
    direction = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)).double()
    _, derivative = exact.gradient(image, extractor, objective, 32)
    ahead, _ = exact.gradient(image + step * direction, extractor, objective, 0)
    behind, _ = exact.gradient(image - step * direction, extractor, objective, 0)
    assert float((derivative * direction).sum()) == pytest.approx(
        (ahead - behind) / (2 * step), rel=1e-5
    )


def test_tiled_features_equal_the_whole_features(random_network: RandomNetwork) -> None:
    extractor = random_network("googlenet", "float64").extractor(("inception3b", "conv1"))
    image = picture(131, 117)
    whole, tiled = (exact.features(image, extractor, tile) for tile in (0, 40))
    for layer in whole:
        torch.testing.assert_close(tiled[layer], whole[layer], rtol=1e-12, atol=1e-12)


def test_a_picture_too_small_for_the_layer_is_refused(random_network: RandomNetwork) -> None:
    extractor = random_network("inception_v3", "float32").extractor(("Mixed_7c",))
    with pytest.raises(
        BadParameter, match="inception_v3 cannot process a picture of 40x40 down to layer Mixed_7c"
    ):
        exact.lay_out(extractor, 40, 40, 0)


@pytest.mark.slow
def test_a_layer_that_depends_on_the_whole_picture_cannot_be_tiled(
    random_network: RandomNetwork,
) -> None:
    extractor = random_network("mobilenet_v3_small", "float32").extractor(("features.3",))
    exact.lay_out(extractor, 128, 128, 0)
    with pytest.raises(
        BadParameter, match=r"tile: layer features.3 depends on the whole picture; use --tile none"
    ):
        exact.lay_out(extractor, 256, 256, 64)
