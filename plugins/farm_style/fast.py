"""Style transfer in one pass with a trained style network, at any size.

A large picture is processed in tiles. Each instance norm takes its statistics once, from a smaller
version of the whole picture. With these frozen, a tile and its surroundings give the same result
as the whole picture, so there are no seams.
"""

import copy
from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from farm import BadParameter, Context
from farm.engine.pyramid import resize
from farm_style.generator import SMALLEST, Generator
from farm_style.names import RESULT
from farm_style.params import StyleParams
from farm_style.weights import read_generator

SHIPPED: Final = Path(__file__).parent / "styles"
UNTILED_PIXELS: Final = 1536 * 1024
"""Most pixels to process without tiles. Larger pictures are shrunk to this to take statistics."""


def shipped() -> tuple[str, ...]:
    """Return the names of the trained style networks that come with the farm."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.safetensors")))


def find(name: str) -> Path:
    """Return the file of a trained style network: shipped, given or of a run. Raises BadParameter."""
    for path in (SHIPPED / f"{name}.safetensors", Path(name), Path(name) / RESULT):
        if path.is_file():
            return path
    raise BadParameter(
        "fast",
        f"no trained style network {name!r}; give {', '.join(shipped())}, a .safetensors file, or "
        "the folder of a finished `farm train-style` run",
    )


def check(params: StyleParams, context: Context) -> None:
    """Refuse a trained style network that is missing or unreadable."""
    assert params.fast
    _load(str(find(params.fast)), str(context.device), context.dtype)


def render(image: Tensor, params: StyleParams, context: Context) -> Tensor:
    """Return the image stylised. Raises BadParameter if it is too small."""
    assert params.fast
    height, width = image.shape[2:]
    if min(height, width) < SMALLEST:
        raise BadParameter(
            "fast",
            f"a picture of {width}x{height} is too small; use at least {SMALLEST} pixels per side",
        )
    generator = _load(str(find(params.fast)), str(context.device), context.dtype)
    with torch.inference_mode():
        return stylise(image, generator, context).clamp(0, 1)


@lru_cache(4)
def _load(path: str, device: str, dtype: torch.dtype) -> Generator:
    """Return a trained style network. It is faster with channels first, unlike extractors."""
    return read_generator(Path(path)).to(device, dtype).eval()


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

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
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
        if isinstance(module, nn.InstanceNorm2d):
            parent, _, last = name.rpartition(".")
            setattr(frozen.get_submodule(parent), last, FrozenNorm(module))
    frozen(picture)
    return frozen
