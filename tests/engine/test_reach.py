"""Reach is measured on the network itself."""

import pytest
import torch
from torch import nn

from farm.engine import reach
from farm.engine.tiles import Reach

from .conftest import RandomNetwork


@pytest.mark.parametrize(
    ("name", "layer", "wanted"),
    [
        ("googlenet", "inception4c", Reach(16, -71, 99)),
        ("vgg19", "relu3_1", Reach(4, -10, 13)),
        ("squeezenet1_0", "features.0", Reach(2, 0, 6)),
        ("resnet50", "layer3", Reach(16, -133, 133)),
    ],
)
def test_the_reach_of_known_layers(
    random_network: RandomNetwork, name: str, layer: str, wanted: Reach
) -> None:
    measured = random_network(name, "float32").extractor((layer,)).reach[layer]
    assert measured == (wanted, wanted)


def test_the_thin_probe_agrees_with_the_real_network(random_network: RandomNetwork) -> None:
    extractor = random_network("googlenet", "float32").extractor(("conv3", "inception3b"))
    assert reach.measure(extractor) == extractor.reach


def test_each_axis_is_measured_separately() -> None:
    wide = nn.Conv2d(3, 1, (1, 7), stride=(1, 3), padding=(0, 3))
    measured = reach.measure(lambda x: {"wide": wide(x)})
    assert measured["wide"] == (Reach(1, 0, 0), Reach(3, -3, 3))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [0, 1])
def test_a_convolution_has_the_reach_of_its_kernel(kernel: int, stride: int, padding: int) -> None:
    layer = nn.Conv2d(3, 2, kernel, stride=stride, padding=padding)
    down, _ = reach.measure(lambda x: {"layer": layer(x)})["layer"]
    assert down == Reach(stride, -padding, kernel - 1 - padding)


def test_the_extent_counts_pixels() -> None:
    assert Reach(16, -71, 99).extent == 171


def test_the_number_of_threads_is_restored() -> None:
    torch.set_num_threads(1)
    reach.measure(lambda x: {"same": x})
    assert torch.get_num_threads() == 1
