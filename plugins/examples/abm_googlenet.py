"""A single-file plugin that adds a network: a pruned GoogLeNet published by ABM-SpConv (MIT licence).

    farm --plugins-dir plugins/examples dream photo.jpg -o out.png
        --network abm-googlenet --weights FILE --layer c4

FILE contains the weights as safetensors. torch is imported only when the network is built, so that
`farm --help` and `farm plugins` stay fast.

Sources: Szegedy et al., "Going deeper with convolutions", 2015, arXiv:1409.4842; Ioffe and Szegedy,
"Batch normalization", 2015, arXiv:1502.03167, for the blocks.
Differs: no pooling in the fourth branch and no ReLU after conv1 and conv2; batch norm is folded
into the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from farm import NetworkSpec, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn


class Widths(NamedTuple):
    """Output channels of each convolution of a block, by branch."""

    b1: tuple[int]
    b2: tuple[int, int]
    b3: tuple[int, int, int]
    b4: tuple[int]

    @property
    def out(self) -> int:
        return sum(branch[-1] for branch in self)


STEM = 192
BLOCKS = {
    "a3": Widths((64,), (64, 64), (64, 96, 96), (32,)),
    "b3": Widths((64,), (64, 96), (64, 96, 96), (64,)),
    "c3": Widths((160,), (128, 160), (64, 96, 96), (160,)),
    "a4": Widths((224,), (64, 96), (96, 128, 128), (128,)),
    "b4": Widths((192,), (96, 128), (96, 128, 128), (128,)),
    "c4": Widths((160,), (128, 160), (128, 160, 160), (128,)),
    "d4": Widths((96,), (128, 192), (160, 192, 192), (128,)),
    "e4": Widths((480,), (128, 192), (192, 256, 256), (128,)),
    "a5": Widths((352,), (192, 320), (160, 224, 224), (128,)),
    "b5": Widths((352,), (192, 320), (160, 224, 224), (128,)),
}


@hookimpl
def farm_networks() -> Iterator[NetworkSpec]:
    yield NetworkSpec(
        "abm-googlenet",
        build=build,
        head=("b5", classifier),
        classes=imagenet_classes,
        description="a pruned GoogLeNet; give its weights with --weights",
    )


def imagenet_classes() -> tuple[str, ...]:
    """Return the names of ImageNet's classes, in torchvision's order."""
    from torchvision.models import GoogLeNet_Weights

    return tuple(GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"])


def build() -> nn.Module:
    """Return the network without weights, as one sequence of blocks.

    It maps pictures [batch, 3, height, width], at least 32 pixels per side, to ImageNet logits
    [batch, 1000].
    """
    from torch import nn

    pools = {end: nn.MaxPool2d(2) for end in ("conv1", "relu3", "c3", "e4")}
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(3, 64, 7, stride=2, padding=3),
        "conv2": nn.Conv2d(64, 64, 1),
        "conv3": nn.Conv2d(64, STEM, 3, padding=1),
        "relu3": nn.ReLU(),
    }
    channels = STEM
    for name, widths in BLOCKS.items():
        layers[name] = _block(channels, widths)
        channels = widths.out
    layers["avgpool"] = nn.AdaptiveAvgPool2d(1)
    layers["linear"] = nn.Conv2d(channels, 1000, 1)
    layers["flatten"] = nn.Flatten()

    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
        if name in pools:
            network.add_module(f"pool_{name}", pools[name])
    return network


AbmGoogLeNet = build


def classifier(network: nn.Module) -> nn.Module:
    """Return the head, a 1x1 convolution that already applies to every position."""
    return network.get_submodule("linear")


def _block(inputs: int, widths: Widths) -> nn.Module:
    from torch import cat, nn

    class Block(nn.Module):
        """Four branches on the same input, concatenated over channels."""

        def forward(self, x: Tensor) -> Tensor:
            return cat([branch(x) for branch in self.children()], 1)

    block = Block()
    for name, branch in widths._asdict().items():
        block.add_module(name, _branch(inputs, branch))
    return block


def _branch(inputs: int, widths: tuple[int, ...]) -> nn.Module:
    """Return a 1x1 convolution, then 3x3 convolutions, each followed by ReLU."""
    from torch import nn

    branch = nn.Sequential()
    for index, outputs in enumerate(widths, start=1):
        kernel = 1 if index == 1 else 3
        branch.add_module(f"conv{index}", nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))
        branch.add_module(f"relu{index}", nn.ReLU())
        inputs = outputs
    return branch
