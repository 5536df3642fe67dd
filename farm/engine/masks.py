"""Masks: pictures that limit an effect to their white areas."""

from jaxtyping import Float
from torch import Tensor

from farm.engine.pyramid import resize
from farm.errors import BadInput
from farm.model.mask_shape import misfit

Mask = Float[Tensor, "1 1 height width"]


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

    source: the mask's name.
    """
    rows, columns = mask.shape[2:]
    if reason := misfit((rows, columns), (height, width)):
        raise BadInput(source, reason)
    return resize(mask, height, width)
