"""A faster gradient of the strided convolution that a network begins with.

Its backward pass has three output channels, which leaves most of a CPU's vector lanes empty. Pixels
whose rows and columns have the same remainders by the stride depend on the same taps; so the gradient
of all of them is one dense convolution with stride squared times as many channels. The sums are the
same, in another order.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["Stem", "use_fast_stems"]

_CHANNELS = 4
"""Most input channels for which it is faster."""


class Stem(nn.Conv2d):
    """A convolution without dilation and groups, with equal strides and a padding of zeros."""

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Convolution.apply(x, self)
        return result


def use_fast_stems(body: nn.Module) -> None:
    """Turn the strided convolutions of few channels in a module into stems. Weights do not change."""
    for module in body.modules():
        if type(module) is nn.Conv2d and _is_stem(module):
            module.__class__ = Stem


def _is_stem(module: nn.Conv2d) -> bool:
    return (
        module.in_channels <= _CHANNELS
        and module.stride[0] == module.stride[1] > 1
        and module.dilation == (1, 1)
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stem: Stem) -> Tensor:
        ctx.stem, ctx.sides = stem, x.shape[2:]
        return F.conv2d(x, stem.weight, stem.bias, stem.stride, stem.padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        stride, (top, left), (height, width) = ctx.stem.stride[0], ctx.stem.padding, ctx.sides
        taps = _taps_by_phase(ctx.stem.weight, stride)
        spread = tuple(side - 1 for side in taps.shape[2:])
        padded = F.pixel_shuffle(F.conv2d(gradient, taps, padding=spread), stride)
        right = width + left - padded.shape[3]
        bottom = height + top - padded.shape[2]
        return F.pad(padded, (-left, right, -top, bottom)), None


def _taps_by_phase(weight: Tensor, stride: int) -> Tensor:
    """Return what each phase of the input receives from neighbouring outputs.

    weight: [outputs, inputs, rows, columns]. Returns [inputs * stride**2, outputs, ceil(rows / stride),
    ceil(columns / stride)], phases in the order of pixel_shuffle.
    """
    rows, columns = weight.shape[2:]
    whole = F.pad(weight, (0, -columns % stride, 0, -rows % stride))
    return F.pixel_unshuffle(whole, stride).transpose(0, 1).flip(2, 3)
