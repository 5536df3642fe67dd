"""Painting in one pass by a trained generator, at any size.

A large picture is painted in tiles. What each instance norm needs to know of the whole picture is
taken once, from a pass over a smaller version of it; with that frozen, a tile and its surroundings
give just what the whole picture would, and there are no seams.
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
from farm_style.generator import LEAST, Generator
from farm_style.names import RESULT
from farm_style.params import StyleParams
from farm_style.weights import read_generator

SHIPPED: Final = Path(__file__).parent / "styles"
WHOLE: Final = 1536 * 1024
"""Pixels up to which a picture is painted at once, and the norms of larger ones are taken."""


def shipped() -> tuple[str, ...]:
    """Return the names of the styles that come with the farm."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.safetensors")))


def find(name: str) -> Path:
    """Return the file of a style: shipped, given, or a run's. Raises BadParameter."""
    for path in (SHIPPED / f"{name}.safetensors", Path(name), Path(name) / RESULT):
        if path.is_file():
            return path
    raise BadParameter(
        "fast",
        f"no style {name!r}; give {', '.join(shipped())}, a .safetensors file, or the folder of a "
        "finished `farm train-style` run",
    )


def check(params: StyleParams, context: Context) -> None:
    """Refuse a style that is not there or cannot be read."""
    assert params.fast
    _load(str(find(params.fast)), str(context.device), context.dtype)


def render(image: Tensor, params: StyleParams, context: Context) -> Tensor:
    """Return the image painted. Raises BadParameter where it is too small."""
    assert params.fast
    height, width = image.shape[2:]
    if min(height, width) < LEAST:
        raise BadParameter(
            "fast", f"a picture of {width}x{height} is too small; take {LEAST} a side"
        )
    generator = _load(str(find(params.fast)), str(context.device), context.dtype)
    with torch.inference_mode():
        return paint(image, generator, context).clamp(0, 1)


@lru_cache(4)
def _load(path: str, device: str, dtype: torch.dtype) -> Generator:
    generator = read_generator(Path(path)).to(device, dtype).eval()
    return generator.to(memory_format=torch.channels_last)


def paint(image: Tensor, generator: Generator, context: Context, whole: int = WHOLE) -> Tensor:
    """Return the image painted, at once if it has no more than whole pixels, else in tiles."""
    height, width = image.shape[2:]
    if height * width <= whole:
        return generator(image)  # type: ignore[no-any-return]
    frozen = freeze(generator, shrunk(image, whole))
    context.progress(0.1, "looked at the whole")
    return context.apply(frozen, image, until=1.0)


def shrunk(image: Tensor, pixels: int) -> Tensor:
    """Return the image with no more than so many pixels, or LEAST a side."""
    height, width = image.shape[2:]
    scale = sqrt(pixels / (height * width))
    return resize(image, max(LEAST, int(height * scale)), max(LEAST, int(width * scale)))


class Frozen(nn.Module):
    """An instance norm that remembers the mean and variance of the first picture it sees."""

    def __init__(self, norm: nn.InstanceNorm2d) -> None:
        super().__init__()
        self._norm = norm
        self._known: tuple[Tensor, Tensor] | None = None

    def forward(self, features: Tensor) -> Tensor:
        if self._known is None:
            mean, variance = features.mean((0, 2, 3)), features.var((0, 2, 3), correction=0)
            scale = self._norm.weight * (variance + self._norm.eps).rsqrt()
            shift = self._norm.bias - mean * scale
            self._known = scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)
        scale, shift = self._known
        return features * scale + shift


def freeze(generator: Generator, picture: Tensor) -> Generator:
    """Return the generator with the norms that this picture has."""
    frozen = copy.deepcopy(generator)
    for name, module in list(frozen.named_modules()):
        if isinstance(module, nn.InstanceNorm2d):
            parent, _, last = name.rpartition(".")
            setattr(frozen.get_submodule(parent), last, Frozen(module))
    frozen(picture)
    return frozen
