"""Gradient ascent over octaves.

Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism", and its notebook (google/deepdream).
Differs: an epsilon in the normaliser, jitter seeded per frame, colours clipped to 0..1, octaves
too small for the network skipped, and optional Laplacian normalisation from the TensorFlow
tutorial.
"""

from math import sqrt

import torch
from torch import Tensor

from farm import BadParameter, Context
from farm.engine import pyramid
from farm.engine.masks import fit_mask, read_mask
from farm.engine.networks import Extractor, Network
from farm.engine.objectives import Objective
from farm_dream.continuing import carried, missing_steps
from farm_dream.objective import build_objective
from farm_dream.params import DreamParams

EPSILON = 1e-12
"""Avoids division by zero when the gradient is zero everywhere."""


def dream(image: Tensor, params: DreamParams, context: Context) -> Tensor:
    """Return the image after all octaves, each one adding to the detail of the last."""
    network = context.network(params.network, params.weights)
    return ascend(image, params, network, build_objective(params, network, context), context)


def ascend(
    image: Tensor, params: DreamParams, network: Network, objective: Objective, context: Context
) -> Tensor:
    """Dream towards the given objective; see dream()."""
    ascent = _Ascent(params, network, objective, context)
    original = ascent.start(image)
    mask = mask_of(params, image, context)
    iterations = params.iterations
    if context.previous:
        original = carried(original, params, context.previous)
        iterations, factor = missing_steps(params, context.previous, context)
        mask = factor if mask is None else mask * factor
    sizes = _sizes(image, params, network, objective)
    detail = torch.zeros_like(original[..., :1, :1])
    for number, size in enumerate(sizes):
        base = pyramid.resize(original, *size)
        octave = base + pyramid.resize(detail, *size)
        octave_mask = None if mask is None else pyramid.resize(mask, *size)
        for step in range(iterations):
            octave = ascent.step(octave, octave_mask)
            done = (number + (step + 1) / iterations) / len(sizes)
            context.progress(done, f"octave {number + 1}/{len(sizes)}")
        detail = octave - base
    return octave


class _Ascent:
    """Gradient steps on one picture: the objective, the normaliser and the random shifts."""

    def __init__(
        self, params: DreamParams, network: Network, objective: Objective, context: Context
    ) -> None:
        self._params, self._network, self._context = params, network, context
        self._objective = objective
        self._generator = context.generator()

    def start(self, image: Tensor) -> Tensor:
        if self._params.start == "picture":
            return image
        mean = self._mean(image).expand_as(image).clone()
        if self._params.start == "noise":
            noise = torch.randn(image.shape, generator=self._generator, dtype=image.dtype)
            mean += 0.05 * noise.to(image.device)
        return mean

    def step(self, image: Tensor, mask: Tensor | None) -> Tensor:
        """Return the image after one normalised step along the gradient."""
        shift = self._shift()
        rolled = torch.roll(image, shift, (2, 3))
        _, gradient = self._context.gradient(rolled, self._network, self._objective)
        gradient = self._condition(torch.roll(gradient, (-shift[0], -shift[1]), (2, 3)))
        gradient *= self._params.step / 255 / (self._context.mean(gradient.abs()) + EPSILON)
        if mask is not None:
            gradient *= mask
        if self._params.l2:
            gradient -= self._params.l2 * self._params.step / 255 * (image - self._mean(image))
        gradient.add_(image).clamp_(0, 1)
        return gradient

    def _mean(self, image: Tensor) -> Tensor:
        mean = torch.tensor(self._network.spec.mean, dtype=image.dtype, device=image.device)
        return mean.view(1, 3, 1, 1)

    def _shift(self) -> tuple[int, int]:
        most = self._params.jitter
        down, right = torch.randint(-most, most + 1, (2,), generator=self._generator).tolist()
        return down, right

    def _condition(self, gradient: Tensor) -> Tensor:
        if self._params.smooth:
            gradient = pyramid.blur(gradient, self._params.smooth)
        if self._params.laplacian:
            bands = pyramid.laplacian_bands(gradient, self._params.laplacian)
            gradient = pyramid.merge_bands([self._unit(band) for band in bands])
        return gradient

    def _unit(self, band: Tensor) -> Tensor:
        return band / (sqrt(self._context.mean(band.square())) + EPSILON)


def _sizes(
    image: Tensor, params: DreamParams, network: Network, objective: Objective
) -> list[tuple[int, int]]:
    """Return the octave sizes that the network accepts, smallest first."""
    sizes = pyramid.octave_sizes(image.shape[2], image.shape[3], params.octaves, params.scale)
    return fitting_sizes(sizes, network.extractor(objective.layers))


def fitting_sizes(sizes: list[tuple[int, int]], extractor: Extractor) -> list[tuple[int, int]]:
    """Return the sizes that the network accepts. Raises BadParameter if there are none."""
    fitting = [size for size in sizes if extractor.fits(*size)]
    if not fitting:
        extractor.shapes(*sizes[-1])
        height, width = sizes[-1]
        raise BadParameter(
            "layers",
            f"a picture of {width}x{height} is too small for these layers; use a larger one",
        )
    return fitting


def mask_of(params: DreamParams, image: Tensor, context: Context) -> Tensor | None:
    """Return the mask at the image's size, if there is one. Raises BadInput if it does not fit."""
    if params.mask is None:
        return None
    mask = read_mask(params.mask, context.read(params.mask))
    return fit_mask(params.mask, mask, *image.shape[2:])
