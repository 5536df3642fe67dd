"""A picture of samples, each beside the training picture that it resembles most."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from farm.engine.measures.evaluation import Reference, fitted
from farm.engine.measures.neighbours import Nearest
from farm.engine.training.sampling import draw, side_by_side
from farm.model.specs import PictureSet, Sampler

_COLUMNS = 4


def sheet(  # noqa: PLR0917 - both kinds of pictures, and how they belong together
    sampler: Sampler,
    latents: Float[Tensor, "samples size"],
    pictures: PictureSet,
    reference: Reference,
    nearest: Nearest,
    count: int,
) -> Float32[np.ndarray, "rows columns 3"]:
    """Return pairs of a sample, at the left, and its nearest training picture, closest pairs first.

    Only the closest `count` pairs are shown, which are those to look at for copies. A training
    picture that resembles the sample when it is mirrored is shown mirrored.
    """
    chosen = nearest.distance.argsort(stable=True)[:count]
    drawn = torch.cat(list(draw(sampler, latents[chosen])))
    height, width = drawn.shape[2:]
    pairs = []
    for sample, number in zip(drawn, chosen.tolist(), strict=True):
        pixels = pictures.read(reference.order[int(nearest.index[number])])
        picture = fitted(pixels, height, width)
        if nearest.is_mirrored[number]:
            picture = picture.flip(2)
        pairs.append(torch.cat([sample, picture], 2))
    return side_by_side(torch.stack(pairs), min(_COLUMNS, len(pairs)))
