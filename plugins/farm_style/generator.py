"""The network behind `farm style --fast`: it stylises a picture in one pass.

Source: Johnson, Alahi, Fei-Fei 2016, "Perceptual losses for real-time style transfer and
super-resolution", arXiv 1603.08155; instance norm: Ulyanov, Vedaldi, Lempitsky 2016, arXiv
1607.08022. Differs: half as wide; nearest upsampling with a convolution instead of a
transposed convolution, and reflected borders, to avoid checkerboards and border artefacts (Odena,
Dumoulin, Olah 2016, "Deconvolution and checkerboard artifacts").
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE: Final = 4
"""Sides are padded to a multiple of this many pixels."""

SMALLEST: Final = 24
"""Least pixels per side of a picture; smaller ones are too small for the reflected borders."""

_HALF_RANGE: Final = 0.55
"""Half the range of output colours: slightly beyond 0..1, so that tanh does not saturate at white
and black."""


class Generator(nn.Module):
    """Maps pictures [batch, 3, height, width] in 0..1 to stylised ones of the same size.

    width: channels at full resolution; two and four times as many at lower ones. blocks: number
    of residual blocks.
    """

    def __init__(self, width: int = 16, blocks: int = 5) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        deep = 4 * width
        self.encode = nn.Sequential(
            _Layer(3, width, 9),
            _Layer(width, 2 * width, 3, stride=2),
            _Layer(2 * width, deep, 3, stride=2),
        )
        self.change = nn.Sequential(*(_Residual(deep) for _ in range(blocks)))
        self.decode = nn.Sequential(
            nn.Upsample(scale_factor=2),
            _Layer(deep, 2 * width, 3),
            nn.Upsample(scale_factor=2),
            _Layer(2 * width, width, 3),
        )
        self.colour = nn.Conv2d(width, 3, 9, padding=4, padding_mode="reflect")

    def forward(self, picture: Tensor) -> Tensor:
        height, width = picture.shape[2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        stylised = self.raw(F.pad(picture, padding, mode="reflect"))
        return stylised[..., :height, :width]

    def raw(self, picture: Tensor) -> Tensor:
        """Return the stylised pictures. Sides must be multiples of STRIDE."""
        colours = self.colour(self.decode(self.change(self.encode(picture - 0.5))))
        return 0.5 + _HALF_RANGE * torch.tanh(colours)


class _Layer(nn.Sequential):
    """Convolution, instance norm, ReLU.

    The norm has a channel per group: torch's InstanceNorm2d is the same, but copies its input.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(
                inputs,
                outputs,
                kernel,
                stride,
                padding=kernel // 2,
                padding_mode="reflect",
                bias=False,
            ),
            nn.GroupNorm(outputs, outputs),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    """Two layers added to their input; the second has no ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one = _Layer(channels, channels, 3)
        self.two = _Layer(channels, channels, 3)
        del self.two[2]

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.two(self.one(x))
        return x + residual
