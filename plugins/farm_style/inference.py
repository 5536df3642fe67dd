"""A style network rewritten to stylise faster; the pictures are the same, up to rounding.

Each upsampling is merged with the convolution that follows it (Odena, Dumoulin, Olah 2016 describe
the pair): four pixels of the large picture see two by two pixels of the small one, and no pixel is computed
on more than once. The last convolution yields two by two pixels as channels, since three output
channels leave most of a processor's vector lanes empty.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from farm_style.generator import Generator

__all__ = ["rewrite"]

_PHASES: Final = ((0, 0), (0, 1), (1, 0), (1, 1))
"""Rows and columns of four neighbouring pixels."""


@torch.no_grad()
def rewrite(generator: Generator) -> Generator:
    """Return the generator, rewritten in place. It cannot be trained or written any longer."""
    layers = [part for part in generator.decode if isinstance(part, nn.Sequential)]
    for layer in layers:
        layer[0] = _Upscaled(layer[0].weight)  # type: ignore[arg-type]
    generator.decode = nn.Sequential(*layers)
    generator.colour = _Blocks(generator.colour)  # type: ignore[assignment]
    return generator


class _Upscaled(nn.Module):
    """Nearest upsampling to twice the size, then a 3x3 convolution with reflected borders.

    weight: of the convolution, [outputs, inputs, 3, 3].
    """

    weight: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        taps = [_merged(_merged(weight, 2, row), 3, column) for row, column in _PHASES]
        self.register_buffer("weight", torch.cat(taps))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        # reflected in the large picture is repeated in the small one
        computed = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), self.weight)
        result = x.new_empty(len(x), computed.shape[1] // len(_PHASES), 2 * height, 2 * width)
        for (row, column), part in zip(_PHASES, computed.chunk(len(_PHASES), dim=1), strict=True):
            own = part[..., row : row + height, column : column + width]
            result[..., row::2, column::2] = own
        return result


def _merged(weight: Tensor, axis: int, phase: int) -> Tensor:
    """Add up the taps that meet the same pixel of the small picture: 3 become 2 along an axis."""
    first, second, third = weight.unbind(axis)
    pair = (first, second + third) if phase == 0 else (first + second, third)
    return torch.stack(pair, axis)


class _Blocks(nn.Module):
    """A convolution of few outputs with reflected borders, for pictures with even sides."""

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.border = convolution.kernel_size[0] // 2
        shifted = [
            F.pad(convolution.weight, (column, 1 - column, row, 1 - row)) for row, column in _PHASES
        ]
        assert convolution.bias is not None
        self.register_buffer("weight", torch.stack(shifted, dim=1).flatten(0, 1))
        self.register_buffer("bias", convolution.bias.repeat_interleave(len(_PHASES)))

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (self.border,) * 4, mode="reflect")
        return F.pixel_shuffle(F.conv2d(padded, self.weight, self.bias, stride=2), 2)
