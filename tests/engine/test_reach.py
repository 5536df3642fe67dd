"""Reach is measured on the network itself."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

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


@pytest.fixture
def two_cores() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_cores")
def test_other_threads_compute_on_all_cores_while_reach_is_measured() -> None:
    seen: set[tuple[int, int]] = set()

    def extract(picture: Tensor) -> dict[str, Tensor]:
        with ThreadPoolExecutor(1) as other:
            seen.add((torch.get_num_threads(), other.submit(torch.get_num_threads).result()))
        return {"same": picture}

    reach.measure(extract)
    assert seen == {(1, 2)}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_cores")
def test_reach_is_measured_with_the_callers_gradients_and_errors_reach_the_caller() -> None:
    def extract(_: Tensor) -> dict[str, Tensor]:
        raise KeyError(f"{torch.is_inference_mode_enabled()}, {torch.is_grad_enabled()}")

    with torch.inference_mode(), pytest.raises(KeyError, match="True, False"):
        reach.measure(extract)
    with torch.no_grad(), pytest.raises(KeyError, match="False, False"):
        reach.measure(extract)
