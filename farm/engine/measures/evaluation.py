"""Compares samples with training pictures: every figure of `farm evaluate`.

The training pictures are read once; then any number of checkpoints can be measured against them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from farm.engine.measures.collection import Collected, Collection
from farm.engine.measures.inception import (
    Inception,
    frechet_distance,
    inception_score,
    kernel_distance,
)
from farm.engine.measures.neighbours import (
    Nearest,
    Thumbnails,
    duplicate_rate,
    nearest,
    nearest_other,
    thumbnails,
)
from farm.engine.measures.wasserstein import patches_per_picture, sliced_wasserstein
from farm.engine.pyramid import resize
from farm.engine.training.squares import fractions
from farm.errors import BadInput, UserError
from farm.model.specs import PictureSet

Batch = Float[Tensor, "_ 3 height width"]
Report = Callable[[int, int], None]

BATCH: Final = 32

_FEWEST: Final = 2


@dataclass(frozen=True)
class Reference:
    """The training pictures, as samples are compared with them.

    order: numbers in the set of all readable pictures, as in thumbnails. count: how many of them,
    from the first one on, the figures are about. distance: the median distance of these to their
    nearest other training picture. unreadable: the pictures that were left out.
    """

    order: tuple[int, ...]
    thumbnails: Thumbnails
    count: int
    collected: Collected
    duplicates: float
    distance: float
    unreadable: Mapping[str, BadInput]


@dataclass(frozen=True)
class Figures:
    """How good samples are.

    pictures: samples, and as many training pictures. wasserstein: by the height of the band.
    similarity: mean MS-SSIM of pairs, None for pictures below 11 pixels. duplicates: the fraction
    that has a copy among the samples. distance: the median to the nearest training picture, as a
    multiple of the same for training pictures; much less than 1 means copies. fid, kid,
    kid_deviation, inception_score: None without Inception.
    """

    pictures: int
    wasserstein: Mapping[int, float]
    similarity: float | None
    duplicates: float
    distance: float
    kid: float | None = None
    kid_deviation: float | None = None
    fid: float | None = None
    inception_score: float | None = None


def read_reference(  # noqa: PLR0917 - the parts of one measurement
    pictures: PictureSet,
    height: int,
    width: int,
    count: int,
    seed: int,
    inception: Inception | None = None,
    report: Report = lambda _done, _count: None,
) -> Reference:
    """Read the training pictures in an order of the seed, and collect from the first `count`.

    height, width: of the samples; the middle of each picture is cut to their shape and resized.
    report: receives how many pictures have been read, of how many. Raises UserError if fewer than
    two can be read.
    """
    unreadable: dict[str, BadInput] = {}
    order: list[int] = []
    thumbs: list[Tensor] = []
    wanted = min(count, len(pictures))
    collection = Collection(patches_per_picture(wanted), seed, inception)
    collected = 0
    for numbers, batch in _batches(pictures, height, width, seed, unreadable):
        if collected < wanted:
            part = batch[: wanted - collected]
            collection.add(part)
            collected += len(part)
        thumbs.append(thumbnails(batch))
        order += numbers
        report(len(order) + len(unreadable), len(pictures))
    if len(order) < _FEWEST:
        raise UserError(
            f"only {len(order)} of {len(pictures)} training pictures can be read, and 2 are needed; "
            "give the data that the run was trained on"
        )
    found, everything = collection.collected(), torch.cat(thumbs)
    others = nearest_other(everything, collected)
    return Reference(
        tuple(order),
        everything,
        collected,
        found,
        duplicate_rate(found.thumbnails),
        float(others.distance.median()),
        unreadable,
    )


def _batches(
    pictures: PictureSet, height: int, width: int, seed: int, unreadable: dict[str, BadInput]
) -> Iterator[tuple[list[int], Batch]]:
    """Yield the numbers and the pictures of batches, in an order of the seed."""
    generator = torch.Generator().manual_seed(seed)
    numbers: list[int] = []
    batch: list[Tensor] = []
    for number in torch.randperm(len(pictures), generator=generator).tolist():
        try:
            batch.append(fitted(pictures.read(number), height, width))
        except BadInput as error:
            unreadable[pictures.names[number]] = error
            continue
        numbers.append(number)
        if len(batch) == BATCH:
            yield numbers, torch.stack(batch)
            numbers, batch = [], []
    if batch:
        yield numbers, torch.stack(batch)


def fitted(
    pixels: UInt8[np.ndarray, "own_height own_width 3"], height: int, width: int
) -> Float[Tensor, "3 height width"]:
    """Return the middle of a picture, cut to the shape of height and width and resized, in 0..1."""
    own_height, own_width = pixels.shape[:2]
    rows = min(own_height, max(1, round(own_width * height / width)))
    columns = min(own_width, max(1, round(own_height * width / height)))
    top, left = (own_height - rows) // 2, (own_width - columns) // 2
    middle = fractions(pixels[top : top + rows, left : left + columns])
    return resize(middle[None], height, width)[0]


def measure(
    samples: Iterable[Batch],
    reference: Reference,
    seed: int,
    inception: Inception | None = None,
) -> tuple[Figures, Nearest]:
    """Return the figures of samples, and the nearest training picture of each.

    samples: batches of an even size, as many pictures as the reference counts. The nearest are
    numbered as in reference.order.
    """
    collection = Collection(patches_per_picture(reference.count), seed, inception)
    for batch in samples:
        collection.add(batch)
    found, real = collection.collected(), reference.collected
    closest = nearest(found.thumbnails, reference.thumbnails)
    figures = Figures(
        pictures=len(found.thumbnails),
        wasserstein=sliced_wasserstein(real.patches, found.patches, seed),
        similarity=found.similarity,
        duplicates=duplicate_rate(found.thumbnails),
        distance=float(closest.distance.median()) / max(reference.distance, 1e-6),
        **_inception_figures(real, found, seed),
    )
    return figures, closest


def _inception_figures(real: Collected, found: Collected, seed: int) -> dict[str, float]:
    if real.features is None or found.features is None:
        return {}
    kid, deviation = kernel_distance(real.features, found.features, seed)
    return {
        "kid": kid,
        "kid_deviation": deviation,
        "fid": frechet_distance(real.features, found.features),
        "inception_score": inception_score(found.features, seed),
    }
