"""The starter network: a GoogLeNet with torchvision's layer names, narrower.

Blocks are at about three eighths of its width up to inception4c, and at five eighths from 4d on.

Defines the architecture and folds batch norm into the convolutions; contains no training or file code.
Source: Szegedy et al., "Going deeper with convolutions", 2015, arXiv:1409.4842, table 1.
Differs: batch norm after every convolution and 3x3 instead of 5x5, both as in torchvision; no
auxiliary heads.
"""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Widths(NamedTuple):
    """Output channels of one Inception block, in the order of torchvision's arguments."""

    branch1: int
    branch2_reduce: int
    branch2: int
    branch3_reduce: int
    branch3: int
    branch4: int

    @property
    def out(self) -> int:
        return self.branch1 + self.branch2 + self.branch3 + self.branch4


STEM: Final = (32, 32, 80)
BLOCKS: Final = {
    "inception3a": Widths(32, 32, 48, 16, 16, 16),
    "inception3b": Widths(48, 48, 64, 16, 32, 32),
    "inception4a": Widths(64, 32, 80, 16, 16, 32),
    "inception4b": Widths(64, 48, 80, 16, 32, 32),
    "inception4c": Widths(48, 48, 96, 16, 32, 32),
    "inception4d": Widths(72, 88, 176, 24, 40, 40),
    "inception4e": Widths(160, 96, 200, 24, 80, 80),
    "inception5a": Widths(160, 96, 200, 24, 80, 80),
    "inception5b": Widths(240, 120, 240, 32, 80, 80),
}

READERS: Final = ("branch1", "branch2.0", "branch3.0", "branch4.1")
WRITERS: Final = ("branch1", "branch2.1", "branch3.1", "branch4.1")
"""The convolutions of a block that read its input, and those that write its output, in order."""


class BasicConv2d(nn.Module):
    """Convolution, batch norm and ReLU; if folded, convolution with bias and ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, folded: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=folded)
        self.bn = nn.Identity() if folded else nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches of 1x1 and 3x3 convolutions, concatenated over channels."""

    def __init__(self, inputs: int, widths: Widths, *, folded: bool) -> None:
        super().__init__()
        w = widths
        self.branch1 = BasicConv2d(inputs, w.branch1, 1, folded=folded)
        self.branch2 = nn.Sequential(
            BasicConv2d(inputs, w.branch2_reduce, 1, folded=folded),
            BasicConv2d(w.branch2_reduce, w.branch2, 3, folded=folded),
        )
        self.branch3 = nn.Sequential(
            BasicConv2d(inputs, w.branch3_reduce, 1, folded=folded),
            BasicConv2d(w.branch3_reduce, w.branch3, 3, folded=folded),
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True),
            BasicConv2d(inputs, w.branch4, 1, folded=folded),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class StarterGoogLeNet(nn.Module):
    """Map pictures [batch, 3, height, width] to logits [batch, classes].

    Pictures are RGB in 0..1, normalised with ImageNet's mean and standard deviation, at least 32
    pixels per side. folded: build the shipped form, convolutions with bias and no batch norm.
    """

    def __init__(self, classes: int = 200, *, folded: bool = False) -> None:
        super().__init__()
        self.conv1 = BasicConv2d(3, STEM[0], 7, stride=2, folded=folded)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = BasicConv2d(STEM[0], STEM[1], 1, folded=folded)
        self.conv3 = BasicConv2d(STEM[1], STEM[2], 3, folded=folded)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)

        channels = STEM[2]

        def block(name: str) -> Inception:
            nonlocal channels
            inputs, channels = channels, BLOCKS[name].out
            return Inception(inputs, BLOCKS[name], folded=folded)

        self.inception3a = block("inception3a")
        self.inception3b = block("inception3b")
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = block("inception4a")
        self.inception4b = block("inception4b")
        self.inception4c = block("inception4c")
        self.inception4d = block("inception4d")
        self.inception4e = block("inception4e")
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = block("inception5a")
        self.inception5b = block("inception5b")
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4c(self.inception4b(self.inception4a(x)))
        x = self.maxpool4(self.inception4e(self.inception4d(x)))
        x = self.inception5b(self.inception5a(x))
        return cast("Tensor", self.fc(self.avgpool(x).flatten(1)))


def fold(network: StarterGoogLeNet) -> StarterGoogLeNet:
    """Return a copy for inference, with every batch norm folded into its convolution."""
    folded = StarterGoogLeNet(network.fc.out_features, folded=True).eval()
    folded.fc.load_state_dict(network.fc.state_dict())
    for name, module in network.named_modules():
        if isinstance(module, BasicConv2d) and isinstance(module.bn, nn.BatchNorm2d):
            fused = fuse_conv_bn_eval(module.conv.eval(), module.bn.eval())
            folded.get_submodule(f"{name}.conv").load_state_dict(fused.state_dict())
    return folded
