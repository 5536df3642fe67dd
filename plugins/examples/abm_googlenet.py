"""A pruned GoogLeNet with BN-Inception blocks, as published by the ABM-SpConv project (MIT licence).

Sources: Szegedy et al., "Going deeper with convolutions", 2015, arXiv:1409.4842; Ioffe and Szegedy,
"Batch normalization", 2015, arXiv:1502.03167, for the blocks.
Differs: no pooling in the fourth branch, no ReLU after conv1 and conv2; batch norm is folded into
the weights.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu


class Widths(NamedTuple):
    """Channels of one block, convolution by convolution."""

    b1: int
    b2: tuple[int, int]
    b3: tuple[int, int, int]
    b4: int

    @property
    def out(self) -> int:
        return self.b1 + self.b2[-1] + self.b3[-1] + self.b4


BLOCKS: Final = {
    "a3": Widths(64, (64, 64), (64, 96, 96), 32),
    "b3": Widths(64, (64, 96), (64, 96, 96), 64),
    "c3": Widths(160, (128, 160), (64, 96, 96), 160),
    "a4": Widths(224, (64, 96), (96, 128, 128), 128),
    "b4": Widths(192, (96, 128), (96, 128, 128), 128),
    "c4": Widths(160, (128, 160), (128, 160, 160), 128),
    "d4": Widths(96, (128, 192), (160, 192, 192), 128),
    "e4": Widths(480, (128, 192), (192, 256, 256), 128),
    "a5": Widths(352, (192, 320), (160, 224, 224), 128),
    "b5": Widths(352, (192, 320), (160, 224, 224), 128),
}


class Branch(nn.Module):
    """A 1x1 convolution, then 3x3 ones, each followed by ReLU."""

    def __init__(self, inputs: int, *widths: int) -> None:
        super().__init__()
        for index, outputs in enumerate(widths, start=1):
            kernel = 1 if index == 1 else 3
            conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
            self.add_module(f"conv{index}", conv)
            inputs = outputs

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.children():
            x = relu(conv(x))
        return x


class Block(nn.Module):
    """Four branches on one input, concatenated over channels."""

    def __init__(self, inputs: int, widths: Widths) -> None:
        super().__init__()
        self.b1 = Branch(inputs, widths.b1)
        self.b2 = Branch(inputs, *widths.b2)
        self.b3 = Branch(inputs, *widths.b3)
        self.b4 = Branch(inputs, widths.b4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.b1(x), self.b2(x), self.b3(x), self.b4(x)], 1)


class AbmGoogLeNet(nn.Module):
    """Map pictures [batch, 3, height, width] to the 1000 ImageNet logits [batch, 1000].

    Pictures are RGB in 0..1, normalised with ImageNet's mean and deviation, at least 32 pixels a
    side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.conv2 = nn.Conv2d(64, 64, 1)
        self.conv3 = nn.Conv2d(64, 192, 3, padding=1)
        channels = 192

        def block(name: str) -> Block:
            nonlocal channels
            inputs, channels = channels, BLOCKS[name].out
            return Block(inputs, BLOCKS[name])

        self.a3 = block("a3")
        self.b3 = block("b3")
        self.c3 = block("c3")
        self.a4 = block("a4")
        self.b4 = block("b4")
        self.c4 = block("c4")
        self.d4 = block("d4")
        self.e4 = block("e4")
        self.a5 = block("a5")
        self.b5 = block("b5")
        self.maxpool = nn.MaxPool2d(2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Conv2d(channels, 1000, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv2(self.maxpool(self.conv1(x)))
        x = self.maxpool(relu(self.conv3(x)))
        x = self.maxpool(self.c3(self.b3(self.a3(x))))
        x = self.c4(self.b4(self.a4(x)))
        x = self.maxpool(self.e4(self.d4(x)))
        x = self.b5(self.a5(x))
        return cast("Tensor", self.linear(self.avgpool(x)).flatten(1))
