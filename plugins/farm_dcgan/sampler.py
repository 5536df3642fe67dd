"""Draw pictures with a trained generator, and keep it in a file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import torch
from safetensors.torch import save
from torch import Tensor

from farm import Context
from farm.engine.training import load_modules, row_generator, seeded, write_whole
from farm_dcgan import latent
from farm_dcgan.convnets import Generator
from farm_dcgan.presets import Preset

AVERAGE: Final = "average"
"""Name of the averaged generator in a checkpoint."""

_HEADER: Final = "farm-dcgan"
_AT_ONCE: Final = 16
"""Pictures to draw at a time, which bounds the memory for features."""


class LatentSampler:
    """Draws pictures with the averaged generator of a checkpoint; implements farm.Sampler."""

    def __init__(self, generator: Generator, recipe: Preset, device: torch.device) -> None:
        self._generator = generator.to(device).eval()
        self._recipe, self._device = recipe, device

    @classmethod
    def of_checkpoint(cls, path: Path, recipe: Preset, context: Context) -> Self:
        """Return the sampler of a checkpoint. Raises BadInput if it cannot be read."""
        with seeded(0):
            generator = Generator(recipe)
        load_modules(path, {AVERAGE: generator})
        return cls(generator, recipe, context.device)

    def latents(self, count: int, seed: int) -> Tensor:
        generators = (row_generator(seed, 0, row, "sample") for row in range(count))
        return latent.draw_rows(self._recipe.prior, self._recipe.latent, generators)

    def mix(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        return latent.mix(self._recipe.prior, first, second, share)

    def draw(self, latents: Tensor) -> Tensor:
        return draw(self._generator, latents.to(self._device))


@torch.no_grad()
def draw(generator: Generator, latents: Tensor) -> Tensor:
    """Return a picture for each latent, [count, 3, side, side] in 0..1.

    generator: in evaluation mode; otherwise a picture would depend on the others, and drawing would
    change the running statistics.
    """
    drawn = torch.cat([generator(part) for part in torch.split(latents, _AT_ONCE)])
    return ((drawn + 1) / 2).clamp(0, 1)


def grid_of(pictures: Tensor, columns: int) -> Tensor:
    """Return pictures side by side, [1, 3, rows * side, columns * side]; their colours stay."""
    count, channels, height, width = pictures.shape
    rows = count // columns
    lines = pictures.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return lines.reshape(1, channels, rows * height, columns * width)


def write_generator(path: Path, generator: Generator, facts: Mapping[str, object]) -> None:
    """Write a generator to a .safetensors file, whole or not at all. facts: JSON values."""
    tensors = {name: value.cpu().contiguous() for name, value in generator.state_dict().items()}
    write_whole(path, save(tensors, {_HEADER: json.dumps(facts, sort_keys=True)}))
