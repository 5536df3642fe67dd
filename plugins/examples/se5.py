"""A single-file plugin that adds a network: VGG-19 up to relu5_1, at a sixteenth of its size.

    farm --plugins-dir plugins/examples style photo.jpg -o out.png --style painting.jpg
        --network se5 --weights FILE

FILE contains the weights published by Collaborative-Distillation (MIT licence), as safetensors.
Layers have the names of the VGG papers, so style transfer finds its default layers.

Source: Wang, Li, Wang, Hu, Yang, "Collaborative distillation for ultra-resolution universal style
transfer", 2020, arXiv:2003.08436.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from farm import NetworkSpec, hookimpl

if TYPE_CHECKING:
    from torch import nn

BLOCKS = ((16, 16), (32, 32), (64,) * 4, (128,) * 4, (128,))
FULL = (64, 128, 256, 512, 512)
"""VGG-19's own widths. The file has layers that expand features to them, which are not used."""


@hookimpl
def farm_networks() -> Iterator[NetworkSpec]:
    yield NetworkSpec(
        "se5",
        build=build,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        description="a compressed VGG-19; give its weights with --weights",
    )


def build() -> nn.Module:
    """Return the network without weights; it takes RGB in 0..1, at least 32 pixels per side."""
    from torch import nn

    network, unused = nn.Sequential(), {}
    network.add_module("conv0", nn.Conv2d(3, 3, 1))
    channels = 3
    for block, (widths, full) in enumerate(zip(BLOCKS, FULL, strict=True), start=1):
        for layer, width in enumerate(widths, start=1):
            conv = nn.Conv2d(channels, width, 3, padding=1, padding_mode="reflect")
            network.add_module(f"conv{block}{layer}", conv)
            network.add_module(f"relu{block}_{layer}", nn.ReLU())
            channels = width
        if block < len(BLOCKS):
            network.add_module(f"pool{block}", nn.MaxPool2d(2))
        unused[f"conv{block}1_aux"] = nn.Conv2d(widths[0], full, 1)
    return _with_unused(network, unused)


def _with_unused(network: nn.Sequential, unused: dict[str, nn.Module]) -> nn.Module:
    from torch import Tensor, nn

    class Chain(nn.Module):
        """Runs the layers in sequence; the unused ones only receive their weights."""

        def __init__(self) -> None:
            super().__init__()
            self.steps = [name for name, _ in network.named_children()]
            for name, part in (*network.named_children(), *unused.items()):
                self.add_module(name, part)

        def forward(self, x: Tensor) -> Tensor:
            for name in self.steps:
                x = self.get_submodule(name)(x)
            return x

    return Chain()
