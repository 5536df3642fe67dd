"""Style transfer in one pass with a trained style network, at any size.

A large picture is processed in tiles. Each instance norm takes its statistics once, from a smaller
version of the whole picture. With these frozen, a tile and its surroundings give the same result
as the whole picture, so there are no seams.
"""

import copy
from math import sqrt
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from farm import BadParameter, Context
from farm.engine.pyramid import resize
from farm_style.generator import SMALLEST, Generator
from farm_style.inference import rewrite
from farm_style.names import find
from farm_style.params import StyleParams
from farm_style.weights import read_generator

UNTILED_PIXELS: Final = 1536 * 1024
"""Most pixels to process without tiles. Larger pictures are shrunk to this to take statistics."""


def check(params: StyleParams, context: Context) -> None:
    """Refuse a trained style network that is missing or unreadable."""
    assert params.fast
    context.load(find(params.fast), _read)


def render(image: Tensor, params: StyleParams, context: Context) -> Tensor:
    """Return the image stylised. Raises BadParameter if it is too small."""
    assert params.fast
    height, width = image.shape[2:]
    if min(height, width) < SMALLEST:
        raise BadParameter(
            "fast",
            f"a picture of {width}x{height} is too small; use at least {SMALLEST} pixels per side",
        )
    generator = context.load(find(params.fast), _read)
    with torch.inference_mode():
        return stylise(image, generator, context).clamp(0, 1)


def _read(path: Path) -> Generator:
    """Return a trained style network to stylise with. It is faster with channels first, unlike extractors."""
    return rewrite(read_generator(path).eval())


def stylise(
    image: Tensor, generator: Generator, context: Context, limit: int = UNTILED_PIXELS
) -> Tensor:
    """Return the image stylised, in tiles if it has more than limit pixels."""
    height, width = image.shape[2:]
    if height * width <= limit:
        return generator(image)  # type: ignore[no-any-return]
    frozen = freeze(generator, shrink(image, limit))
    context.progress(0.1, "measured the whole picture")
    return context.apply(frozen, image, until=1.0)


def shrink(image: Tensor, pixels: int) -> Tensor:
    """Return the image with at most this many pixels, but at least SMALLEST per side."""
    height, width = image.shape[2:]
    scale = sqrt(pixels / (height * width))
    return resize(image, max(SMALLEST, int(height * scale)), max(SMALLEST, int(width * scale)))


class FrozenNorm(nn.Module):
    """An instance norm that keeps the mean and variance of the first picture it processes."""

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        self._norm = norm
        self._affine: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        if self._affine is None:
            mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3), correction=0)
            scale = self._norm.weight * (variance + self._norm.eps).rsqrt()
            shift = self._norm.bias - mean * scale
            self._affine = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)
        scale, shift = self._affine
        return features * scale + shift


def freeze(generator: Generator, picture: Tensor) -> Generator:
    """Return a copy of the generator with its norms frozen to the statistics of this picture."""
    frozen = copy.deepcopy(generator)
    for name, module in list(frozen.named_modules()):
        if isinstance(module, nn.GroupNorm):
            parent, _, last = name.rpartition(".")
            setattr(frozen.get_submodule(parent), last, FrozenNorm(module))
    frozen(picture)
    return frozen
