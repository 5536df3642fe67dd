"""A picture-to-picture network applied in tiles gives the same result as on the whole picture."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from farm.engine.apply import apply, measure
from farm.engine.tiles import Reach
from farm.errors import BadParameter, PluginError


class Hourglass(nn.Module):
    """Downscales by four and upscales again, with reflected edges; accepts any size."""

    def __init__(self) -> None:
        super().__init__()
        reflect = {"padding": 1, "padding_mode": "reflect"}
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=2, **reflect),
            nn.Tanh(),
            nn.Conv2d(4, 4, 3, stride=2, **reflect),
            nn.Tanh(),
            nn.Upsample(scale_factor=4),
            nn.Conv2d(4, 3, 5, padding=2),
        )

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        padded = F.pad(picture, (0, -width % 4, 0, -height % 4), mode="reflect")
        return self.body(padded)[..., :height, :width]


@pytest.fixture(scope="module")
def hourglass() -> Hourglass:
    torch.manual_seed(3)
    return Hourglass().double()


PICTURE = torch.zeros(1, 3, 8, 8, dtype=torch.float64)


def test_reach_and_period_are_measured(hourglass: Hourglass) -> None:
    # Feature j of the smallest map depends on pixels 4j-3 to 4j+3. Through the last convolution,
    # pixel 4j+1 depends on feature j-1, 8 pixels back, and pixel 4j+2 on feature j+1, 5 pixels
    # ahead, which is 8 pixels from the block's first one.
    assert measure(hourglass, PICTURE) == (Reach(4, -8, 8), Reach(4, -8, 8))


def test_a_plain_convolution_has_the_reach_of_its_kernel_and_period_1() -> None:
    module = nn.Conv2d(3, 3, (5, 3), padding=(2, 1))
    assert measure(module, PICTURE.float()) == (Reach(1, -2, 2), Reach(1, -1, 1))


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(st.integers(9, 90), st.integers(9, 90), st.integers(5, 60))
def test_tiles_give_the_whole_pictures_result(
    hourglass: Hourglass, height: int, width: int, tile: int
) -> None:
    torch.manual_seed(height)
    picture = torch.rand(1, 3, height, width, dtype=torch.float64)
    overlaps: list[int] = []
    tiled = apply(hourglass, picture, tile, on_tile=overlaps.append)
    whole = apply(hourglass, picture, 0)
    assert float((tiled - whole).abs().max()) < 1e-12
    assert overlaps


def test_a_module_whose_pixels_depend_on_the_whole_picture_is_refused() -> None:
    module = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3))
    with pytest.raises(BadParameter, match="each pixel of Sequential depends on the whole picture"):
        apply(module, torch.rand(1, 3, 64, 64), 32)


def test_a_module_that_changes_the_size_is_refused() -> None:
    with pytest.raises(PluginError, match=r"MaxPool2d: returned \[1, 3, 20, 20\] for a picture of"):
        apply(nn.MaxPool2d(2), torch.rand(1, 3, 40, 40), 0)
