"""Synthetic pictures for benchmarks."""

import torch
from torch import Tensor

from farm.engine.pyramid import resize


def scene(height: int, width: int) -> Tensor:
    """Return noise of all scales, as in photographs: [1, 3, height, width] in 0..1."""
    draw = torch.Generator().manual_seed(0)
    picture = torch.full((1, 3, height, width), 0.5)
    for cells in (4, 16, 64, height // 8, height // 2):
        noise = torch.rand(1, 3, cells, cells, generator=draw) - 0.5
        picture += 0.35 * resize(noise, height, width)
    return picture.clamp(0, 1)
