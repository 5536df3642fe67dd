"""Square pictures of one size, as most networks are trained on."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from farm.engine.pyramid import resize


def fractions(
    pixels: UInt8[np.ndarray, "height width 3"],
) -> Float[Tensor, "3 height width"]:
    """Convert a picture's levels to 0..1."""
    return torch.tensor(pixels).permute(2, 0, 1).float() / 255


def square(pixels: UInt8[np.ndarray, "height width 3"], side: int) -> Float[Tensor, "3 side side"]:
    """Return the largest square in the middle of a picture, resized to this side, in 0..1."""
    height, width = pixels.shape[:2]
    length = min(height, width)
    top, left = (height - length) // 2, (width - length) // 2
    middle = fractions(pixels[top : top + length, left : left + length])
    return middle if length == side else resize(middle[None], side, side)[0]
