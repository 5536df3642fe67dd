"""Measure how visible the borders of tiles are, for tests and benchmarks."""

import torch
from torch import Tensor


def border_ratio(image: Tensor, tile: int, stride: int = 8) -> float:
    """Return the mean root difference of pixels across tile borders, relative to other grid lines.

    image: [1, channels, height, width]. tile: pixels between borders, a multiple of the stride.
    stride: of the network. Its pooling changes differences along its grid, and its padding those
    near the edges, with or without tiles; so only lines of that grid are compared.
    """
    borders, others = [], []
    for axis in (2, 3):
        steps = image.diff(dim=axis).abs().sqrt()  # the root limits the weight of large steps
        for line in range(tile, image.shape[axis] - tile + 1, stride):
            values = others if line % tile else borders
            values.append(steps.select(axis, line - 1).mean())
    return float(torch.stack(borders).mean() / torch.stack(others).mean())
