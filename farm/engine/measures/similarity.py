"""How much pictures of a set resemble each other: MS-SSIM of pairs, low for a diverse set.

Source: Odena, Olah, Shlens 2017, "Conditional image synthesis with auxiliary classifier GANs",
arXiv 1610.09585, section 4.2; Wang, Simoncelli, Bovik 2003, "Multi-scale structural similarity for
image quality assessment".
Differs: pictures too small for five scales use the first ones, with weights that sum to one. So
figures compare only between sets of one size.
"""

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of each scale, finest first: Wang, Simoncelli, Bovik 2003, section 3.2."""

_LEAST_SIDES: Final = (11, 22, 44, 99, 176)
"""Shorter side, in pixels, from which so many scales fit the window of 11 pixels, in torchmetrics too."""


def scales(height: int, width: int) -> int:
    """Return how many scales pictures of this size allow: 3 for 64 pixels, 5 from 176, 0 below 11."""
    return sum(least <= min(height, width) for least in _LEAST_SIDES)


def pair_similarity(
    pictures: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, " pairs"]:
    """Return the MS-SSIM of the first picture with the second, the third with the fourth, and so on.

    pictures: RGB in 0..1, at least 11 pixels a side. Returns values in 0..1, 1 for equal pictures.
    """
    used = _WEIGHTS[: scales(*pictures.shape[2:])]
    pairs = len(pictures) // 2
    if not pairs:
        return torch.empty(0)
    first, second = pictures[: 2 * pairs : 2], pictures[1 : 2 * pairs : 2]
    similarity: Tensor = multiscale_structural_similarity_index_measure(
        first,
        second,
        data_range=1.0,
        betas=tuple(weight / sum(used) for weight in used),
        reduction="none",
    )
    return similarity.reshape(pairs)
