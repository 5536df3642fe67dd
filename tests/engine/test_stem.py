"""The gradient of a strided convolution of few channels, rearranged, is that of the convolution."""

import copy

import pytest
import torch
from torch import Tensor, nn

from farm.engine.networks import Network
from farm.engine.stem import Stem, use_fast_stems
from farm.model.specs import NetworkSpec


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "size"),
    [
        (7, 2, 3, (48, 64)),
        (7, 2, 3, (45, 61)),
        (11, 4, 2, (99, 71)),
        (3, 2, 0, (50, 51)),
        ((3, 5), 2, (0, 1), (20, 21)),
        (5, 3, 1, (40, 41)),
        (2, 4, 0, (19, 23)),
    ],
)
def test_it_computes_what_the_convolution_computes(
    kernel: int | tuple[int, int],
    stride: int,
    padding: int | tuple[int, int],
    size: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(3, 8, kernel, stride, padding).double().requires_grad_(requires_grad=False)
    stem = copy.deepcopy(plain)
    use_fast_stems(stem)
    assert type(stem) is Stem
    picture = torch.rand(2, 3, *size, dtype=torch.float64, requires_grad=True)
    expected, result = plain(picture), stem(picture)
    assert torch.equal(result, expected)
    outer = torch.rand_like(expected)
    gradients = [torch.autograd.grad(y, picture, outer)[0] for y in (result, expected)]
    assert torch.allclose(*gradients, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(3, 8, 3),
        nn.Conv2d(16, 8, 3, stride=2),
        nn.Conv2d(3, 8, 3, stride=(1, 2)),
        nn.Conv2d(3, 8, 3, stride=2, dilation=2),
        nn.Conv2d(3, 3, 3, stride=2, groups=3),
        nn.Conv2d(3, 8, 3, stride=2, padding=1, padding_mode="reflect"),
    ],
)
def test_other_convolutions_stay_as_they_are(convolution: nn.Conv2d) -> None:
    use_fast_stems(convolution)
    assert type(convolution) is nn.Conv2d


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 7, stride=2, padding=3)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x).relu())
        return y


def test_an_extractor_has_a_fast_stem() -> None:
    spec = NetworkSpec("small", _Small)
    extractor = Network(spec, _Small(), "", "cpu", "float32").extractor(("second",))
    assert [type(part) for part in extractor.body.children()] == [Stem, nn.Conv2d]
