"""Masks: pictures that limit an effect to their white areas."""

from typing import Final

from jaxtyping import Float
from torch import Tensor

from farm.engine.pyramid import resize
from farm.errors import BadInput

Mask = Float[Tensor, "1 1 height width"]

TOLERANCE: Final = 0.02
"""Largest relative difference of aspect ratios for which a mask is scaled to the picture."""


def read_mask(source: str, picture: Float[Tensor, "1 3 height width"]) -> Mask:
    """Return the brightness of a picture as a mask: 0 is none, 1 is full.

    source: the picture's name. Raises BadInput if it is black.
    """
    mask = picture.mean(dim=1, keepdim=True)
    if not mask.any():
        raise BadInput(
            source,
            "the mask is black everywhere, so nothing would change; paint the areas to change white",
        )
    return mask


def fit_mask(source: str, mask: Float[Tensor, "1 1 _ _"], height: int, width: int) -> Mask:
    """Return the mask at the picture's size. Raises BadInput if its aspect ratio differs.

    source: the mask's name. Sides are rounded to whole pixels, so a difference of one pixel at the
    smaller size is allowed, too.
    """
    rows, columns = mask.shape[2:]
    allowed = max(min(height, rows), min(width, columns), TOLERANCE * rows * width)
    if abs(columns * height - rows * width) > allowed:
        raise BadInput(
            source,
            f"the mask is {columns}x{rows} but the picture is {width}x{height}; crop the mask to "
            "the same aspect ratio",
        )
    return resize(mask, height, width)
