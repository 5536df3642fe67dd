"""Convert classifiers to convolutions that compute class scores at every position."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def linear_head(model: Any, name: str) -> "nn.Module":
    """Return the linear classifier ``name`` as a 1x1 convolution.

    Averaging its output over positions equals classifying the average feature.
    """
    linear = getattr(model, name)
    return as_convolution(linear, linear.in_features, 1)


def as_convolution(linear: Any, channels: int, kernel: int) -> "nn.Module":
    """Return a linear layer as a kernel x kernel convolution that shares its weights."""
    from torch import nn

    convolution = nn.Conv2d(channels, linear.out_features, kernel, device="meta")
    convolution.weight = nn.Parameter(linear.weight.detach().view_as(convolution.weight))
    convolution.bias = linear.bias
    return convolution
