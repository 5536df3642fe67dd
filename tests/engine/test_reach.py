"""Reach is what the network does, not what a table says."""

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
def test_known_layers(random_network: RandomNetwork, name: str, layer: str, wanted: Reach) -> None:
    found = random_network(name, "float32").extractor((layer,)).reach[layer]
    assert found == (wanted, wanted)


def test_thin_probe_finds_what_the_real_network_does(random_network: RandomNetwork) -> None:
    extractor = random_network("googlenet", "float32").extractor(("conv3", "inception3b"))
    assert reach.measure(extractor) == extractor.reach


def test_axes_are_measured_apart() -> None:
    wide = nn.Conv2d(3, 1, (1, 7), stride=(1, 3), padding=(0, 3))
    found = reach.measure(lambda x: {"wide": wide(x)})
    assert found["wide"] == (Reach(1, 0, 0), Reach(3, -3, 3))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("padding", [0, 1])
def test_one_convolution_sees_its_kernel(kernel: int, stride: int, padding: int) -> None:
    layer = nn.Conv2d(3, 2, kernel, stride=stride, padding=padding)
    down, _ = reach.measure(lambda x: {"layer": layer(x)})["layer"]
    assert down == Reach(stride, -padding, kernel - 1 - padding)


def test_extent_counts_pixels() -> None:
    assert Reach(16, -71, 99).extent == 171


def test_threads_are_left_as_they_were() -> None:
    torch.set_num_threads(1)
    reach.measure(lambda x: {"same": x})
    assert torch.get_num_threads() == 1
