"""Scale the channels of a network without changing its scores, so that its dreams look better.

ReLU and pooling pass a positive scale through. So a channel of a block can be made stronger or
weaker if the layers that read it compensate. A dream amplifies the energy of a block; with other
scales it follows another mixture of channels.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, cast

import torch
from torch import Tensor, nn

from farm_networks.recipe.data import draw_plain, normalise, sample_whole
from farm_networks.recipe.teacher import FeatureExtractor
from farm_networks.starter.network import BLOCKS, READERS, WRITERS, StarterGoogLeNet

Layer = nn.Conv2d | nn.Linear

BALANCED: Final = tuple(BLOCKS)[3:]
"""Blocks to balance, from inception4b on. The strokes of earlier ones are best as they are, and
style transfer reads them."""

DREAMT: Final = ("inception4d", "inception4e", "inception5a", "inception5b")
"""Blocks where a few channels rule the dreams of a sky, and repeat the same mark all over it."""

PLAIN_WEIGHT: Final = 4.0
"""How much the energy on plain pictures counts against that on photographs."""

RANGE: Final = 8.0
"""The largest scale of a channel, and the inverse of the smallest."""

ROUNDS: Final = 4
STEPS: Final = 12
STEP: Final = 0.02
"""Rounds of dreaming from plain pictures, the steps of each, and the mean change of a step."""


def balance(
    network: StarterGoogLeNet, pictures: Tensor, side: int, kept: str | None = None
) -> None:
    """Scale the channels of each block: quieter if they respond to plain pictures or rule dreams.

    network: folded; changed in place. pictures: some of the data set, [count, 3, ...] in 0..255.
    kept: a block to leave as it is, with those before it.
    """
    names = list(BLOCKS)
    changed = set(BALANCED).difference(names[: names.index(kept) + 1] if kept else ())
    network.requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(0)
    usual = _energies(network, sample_whole(pictures, side))
    flat = _energies(network, draw_plain(200, side, generator))
    seeds = draw_plain(8, side, generator)
    for name, readers in _readers(network):
        if name in changed:
            scale = _normalised(usual[name], usual[name] + PLAIN_WEIGHT * flat[name])
            for _ in range(ROUNDS if name in DREAMT else 0):
                dreamt = _dream(network, name, scale, seeds)
                scale = _normalised(usual[name], (dreamt + dreamt.mean() / 10).sqrt() / scale**2)
            _rescale(network, name, readers, scale)


def _normalised(usual: Tensor, loudness: Tensor) -> Tensor:
    """Return scales that cancel the loudness, and keep the energy on pictures as it is."""
    scale = (loudness.mean() / loudness).sqrt().clamp(1 / RANGE, RANGE)
    return scale * (usual.sum() / (usual * scale.square()).sum()).sqrt()


@torch.enable_grad()
def _dream(network: StarterGoogLeNet, block: str, scale: Tensor, x: Tensor) -> Tensor:
    """Return the energy of each scaled channel after a dream from the pictures x."""
    extract = FeatureExtractor(network, [block])
    weights = scale.view(1, -1, 1, 1)
    for _ in range(STEPS):
        x = x.detach().requires_grad_()
        features = extract(normalise(x))[1][block] * weights
        (gradient,) = torch.autograd.grad(features.square().sum(), x)
        x = x + STEP * gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
    return features.detach().square().mean((0, 2, 3))


@torch.no_grad()
def _energies(network: StarterGoogLeNet, x: Tensor) -> dict[str, Tensor]:
    """Return the mean square of each channel of each block."""
    extract = FeatureExtractor(network, list(BLOCKS))
    batches = [extract(normalise(part))[1] for part in torch.split(x, 100)]
    return {
        name: torch.stack([batch[name].square().mean((0, 2, 3)) for batch in batches]).mean(0)
        for name in BLOCKS
    }


@torch.no_grad()
def _rescale(
    network: StarterGoogLeNet, block: str, readers: Sequence[Layer], scale: Tensor
) -> None:
    w = BLOCKS[block]
    parts = torch.split(scale, [w.branch1, w.branch2, w.branch3, w.branch4])
    for branch, part in zip(WRITERS, parts, strict=True):
        writer = _layer(network, f"{block}.{branch}.conv")
        writer.weight *= part.view(-1, 1, 1, 1)
        assert writer.bias is not None
        writer.bias *= part
    for reader in readers:
        reader.weight /= scale.view(1, -1, *[1] * (reader.weight.ndim - 2))


def _readers(network: StarterGoogLeNet) -> Iterator[tuple[str, list[Layer]]]:
    """Yield each block and the layers that read its output."""
    for name, following in pairwise(BLOCKS):
        yield name, [_layer(network, f"{following}.{b}.conv") for b in READERS]
    yield list(BLOCKS)[-1], [network.fc]


def _layer(network: StarterGoogLeNet, name: str) -> Layer:
    return cast("Layer", network.get_submodule(name))
