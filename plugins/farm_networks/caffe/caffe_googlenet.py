"""GoogLeNet as Caffe runs it: without batch norm, and with local response normalisation.

Defines the architecture only. Layers have the names of BVLC's deploy.prototxt, so that a file's
weights and the layers of old dreams are found by name. As there, a convolution's name means its
output before ReLU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn

__all__ = ["CaffeGoogLeNet"]


class Widths(NamedTuple):
    """Output channels of one Inception block's convolutions, in the order of the branches."""

    one: int
    three_reduce: int
    three: int
    five_reduce: int
    five: int
    pool_proj: int

    @property
    def out(self) -> int:
        return self.one + self.three + self.five + self.pool_proj


BLOCKS: Final = {
    "3a": Widths(64, 96, 128, 16, 32, 32),
    "3b": Widths(128, 128, 192, 32, 96, 64),
    "4a": Widths(192, 96, 208, 16, 48, 64),
    "4b": Widths(160, 112, 224, 24, 64, 64),
    "4c": Widths(128, 128, 256, 24, 64, 64),
    "4d": Widths(112, 144, 288, 32, 64, 64),
    "4e": Widths(256, 160, 320, 32, 128, 128),
    "5a": Widths(256, 160, 320, 32, 128, 128),
    "5b": Widths(384, 192, 384, 48, 128, 128),
}

_POOLED: Final = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
"""The pools that follow blocks."""


class Concat(nn.Module):
    """Joins branches over channels."""

    def forward(self, *branches: Tensor) -> Tensor:
        return torch.cat(branches, 1)


class CaffeGoogLeNet(nn.Module):
    """Map pictures [batch, 3, 224, 224] to logits [batch, classes].

    Pictures are RGB in 0..255 minus the mean; the network swaps them to BGR. Features exist for
    pictures of other sizes too. classifier: the name of the last layer.
    """

    def __init__(self, classes: int = 1000, classifier: str = "loss3/classifier") -> None:
        super().__init__()
        stem = dict(_stem())
        self._stem, self._classifier = tuple(stem), classifier
        for name, layer in (*stem.items(), *_blocks()):
            self.add_module(name, layer)
        self.add_module("pool5/7x7_s1", nn.AvgPool2d(7, stride=1))
        self.add_module("pool5/drop_7x7_s1", nn.Dropout(0.4))
        self.add_module(classifier, nn.Linear(BLOCKS["5b"].out, classes))

    def forward(self, image: Tensor) -> Tensor:
        x = self._run(image.flip(1), *self._stem)
        for block in BLOCKS:
            x = self._inception(f"inception_{block}", x)
            if block in _POOLED:
                x = self._run(x, _POOLED[block])
        x = self._run(x, "pool5/7x7_s1", "pool5/drop_7x7_s1")
        return self._run(x.flatten(1), self._classifier)

    def _inception(self, block: str, x: Tensor) -> Tensor:
        def branch(x: Tensor, *kernels: str) -> Tensor:
            for kernel in kernels:
                x = self._run(x, f"{block}/{kernel}", f"{block}/relu_{kernel}")
            return x

        branches = (
            branch(x, "1x1"),
            branch(x, "3x3_reduce", "3x3"),
            branch(x, "5x5_reduce", "5x5"),
            branch(self._run(x, f"{block}/pool"), "pool_proj"),
        )
        return cast("Tensor", self.get_submodule(f"{block}/output")(*branches))

    def _run(self, x: Tensor, *layers: str) -> Tensor:
        for layer in layers:
            x = self.get_submodule(layer)(x)
        return x


def _stem() -> Iterator[tuple[str, nn.Module]]:
    yield "conv1/7x7_s2", nn.Conv2d(3, 64, 7, stride=2, padding=3)
    yield "conv1/relu_7x7", nn.ReLU()
    yield "pool1/3x3_s2", _halving_pool()
    yield "pool1/norm1", _response_norm()
    yield "conv2/3x3_reduce", nn.Conv2d(64, 64, 1)
    yield "conv2/relu_3x3_reduce", nn.ReLU()
    yield "conv2/3x3", nn.Conv2d(64, 192, 3, padding=1)
    yield "conv2/relu_3x3", nn.ReLU()
    yield "conv2/norm2", _response_norm()
    yield "pool2/3x3_s2", _halving_pool()


def _blocks() -> Iterator[tuple[str, nn.Module]]:
    channels = 192
    for block, widths in BLOCKS.items():
        for name, layer in _block(channels, widths):
            yield f"inception_{block}/{name}", layer
        if block in _POOLED:
            yield _POOLED[block], _halving_pool()
        channels = widths.out


def _block(channels: int, widths: Widths) -> Iterator[tuple[str, nn.Module]]:
    w = widths
    for name, inputs, outputs, kernel in (
        ("1x1", channels, w.one, 1),
        ("3x3_reduce", channels, w.three_reduce, 1),
        ("3x3", w.three_reduce, w.three, 3),
        ("5x5_reduce", channels, w.five_reduce, 1),
        ("5x5", w.five_reduce, w.five, 5),
        ("pool_proj", channels, w.pool_proj, 1),
    ):
        yield name, nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        yield f"relu_{name}", nn.ReLU()
    yield "pool", nn.MaxPool2d(3, stride=1, padding=1)
    yield "output", Concat()


def _halving_pool() -> nn.Module:
    """Return Caffe's pool of stride 2, whose last window may hang over the border."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _response_norm() -> nn.Module:
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75)
