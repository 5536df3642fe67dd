"""What the discriminator is shown of the set: squares of one size in -1..1, perhaps changed."""

import numpy as np
import torch
from torch import Tensor

from farm.engine.training import square
from farm_dcgan.presets import Preset


def prepare(recipe: Preset, pixels: np.ndarray, generator: torch.Generator) -> Tensor:
    """Return the central square of a picture at the recipe's side, [3, side, side] in -1..1.

    pixels: uint8 [height, width, 3]. generator: decides on the mirror image and the colours.
    """
    colours = square(pixels, recipe.side)
    draws = torch.rand(4, generator=generator)
    if recipe.flip and draws[0] < 0.5:
        colours = colours.flip(2)
    if recipe.jitter:
        colours = jitter(colours, recipe.jitter * (2 * draws[1:] - 1))
    return colours * 2 - 1


def jitter(colours: Tensor, changes: Tensor) -> Tensor:
    """Return a picture with other brightness, contrast and saturation, [3, height, width] in 0..1.

    changes: [3], relative: 0 changes nothing. A change of brightness is a share of the mean colour.
    """
    brightness, contrast, saturation = changes.unbind()
    changed = colours * (1 + contrast) + brightness * colours.mean()
    grey = changed.mean(0, keepdim=True)
    return grey.lerp(changed, 1 + saturation).clamp(0, 1)
