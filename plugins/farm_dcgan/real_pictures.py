"""What the discriminator is shown of the set: squares of one size in -1..1, perhaps changed."""

import numpy as np
import torch
from torch import Tensor

from farm.engine.pyramid import resize
from farm_dcgan.presets import Preset


def prepare(recipe: Preset, pixels: np.ndarray, generator: torch.Generator) -> Tensor:
    """Return the central square of a picture at the recipe's side, [3, side, side] in -1..1.

    pixels: uint8 [height, width, 3]. generator: decides on the mirror image and the colours.
    """
    picture = centre_square(torch.tensor(pixels).permute(2, 0, 1)[None]).float()
    values = resize(picture, recipe.side, recipe.side)[0] / 127.5 - 1
    draws = torch.rand(4, generator=generator)
    if recipe.flip and draws[0] < 0.5:
        values = values.flip(2)
    if recipe.jitter:
        values = jitter(values, 2 * recipe.jitter * (draws[1:] - 0.5))
    return values


def centre_square(picture: Tensor) -> Tensor:
    """Return the largest square in the middle: [1, 3, height, width] to [1, 3, side, side]."""
    height, width = picture.shape[2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[..., top : top + side, left : left + side]


def jitter(values: Tensor, changes: Tensor) -> Tensor:
    """Return a picture with other brightness, contrast and saturation, [3, height, width] in -1..1.

    changes: [3], relative: 0 changes nothing. A change of brightness is a share of the mean colour.
    """
    colours = (values + 1) / 2
    brightness, contrast, saturation = changes
    colours = colours * (1 + contrast) + brightness * colours.mean()
    grey = colours.mean(0, keepdim=True)
    return grey.lerp(colours, 1 + saturation).clamp(0, 1) * 2 - 1
