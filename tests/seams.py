"""Whether the borders of tiles can be told in a picture, for tests and benchmarks."""

import torch
from torch import Tensor


def border_ratio(image: Tensor, tile: int, stride: int = 8) -> float:
    """Return the mean root of steps across tile borders over that at other lines of a grid.

    image: [1, channels, height, width]. tile: pixels from border to border, of whole strides.
    stride: of the network, whose own pooling makes steps on its grid differ from those off it,
    and whose padding those near the picture's edge, tiles or not.
    """
    across, elsewhere = [], []
    for axis in (2, 3):
        steps = image.diff(dim=axis).abs().sqrt()  # few large steps would drown the rest
        for line in range(tile, image.shape[axis] - tile + 1, stride):
            place = elsewhere if line % tile else across
            place.append(steps.select(axis, line - 1).mean())
    return float(torch.stack(across).mean() / torch.stack(elsewhere).mean())
