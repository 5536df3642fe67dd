"""Gradient ascent over octaves.

Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism", and its notebook (google/deepdream).
Differs: an epsilon under the normaliser, jitter from the frame's own seed, colours clipped to
the valid range of the picture, octaves too small for the network left out, and, where asked
for, the TensorFlow tutorial's Laplacian normalisation.
"""

from math import sqrt

import torch
from torch import Tensor

from farm import BadParameter, Context
from farm.engine import pyramid
from farm.engine.networks import Network
from farm.engine.objectives import Objective
from farm_dream.objective import build_objective
from farm_dream.params import DreamParams

EPSILON = 1e-12
"""Keeps a picture without any gradient as it is, instead of dividing by zero."""


def dream(image: Tensor, params: DreamParams, context: Context) -> Tensor:
    """Return the image after all octaves, detail carried from one to the next."""
    network = context.network(params.network, params.weights)
    return climb(image, params, network, build_objective(params, network, context), context)


def climb(
    image: Tensor, params: DreamParams, network: Network, objective: Objective, context: Context
) -> Tensor:
    """Return the image dreamt towards an objective: see dream."""
    climber = _Climber(params, network, objective, context)
    original = climber.start(image)
    mask = _mask(image, params, context)
    sizes = _sizes(image, params, network, objective)
    detail = torch.zeros_like(original[..., :1, :1])
    for number, size in enumerate(sizes):
        base = pyramid.resize(original, *size)
        octave = base + pyramid.resize(detail, *size)
        octave_mask = None if mask is None else pyramid.resize(mask, *size)
        for step in range(params.iterations):
            octave = climber.step(octave, octave_mask)
            done = (number + (step + 1) / params.iterations) / len(sizes)
            context.progress(done, f"octave {number + 1}/{len(sizes)}")
        detail = octave - base
    return octave


class _Climber:
    """One dream's objective, normaliser and source of jitter."""

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
        """Return the image one step further up."""
        shift = self._shift()
        rolled = torch.roll(image, shift, (2, 3))
        _, slope = self._context.gradient(rolled, self._network, self._objective)
        slope = self._even_out(torch.roll(slope, (-shift[0], -shift[1]), (2, 3)))
        slope *= self._params.step / 255 / (self._context.mean(slope.abs()) + EPSILON)
        if mask is not None:
            slope *= mask
        if self._params.l2:
            slope -= self._params.l2 * self._params.step / 255 * (image - self._mean(image))
        slope.add_(image).clamp_(0, 1)
        return slope

    def _mean(self, image: Tensor) -> Tensor:
        mean = torch.tensor(self._network.spec.mean, dtype=image.dtype, device=image.device)
        return mean.view(1, 3, 1, 1)

    def _shift(self) -> tuple[int, int]:
        most = self._params.jitter
        down, right = torch.randint(-most, most + 1, (2,), generator=self._generator).tolist()
        return down, right

    def _even_out(self, slope: Tensor) -> Tensor:
        if self._params.smooth:
            slope = pyramid.blur(slope, self._params.smooth)
        if self._params.laplacian:
            bands = pyramid.laplacian_bands(slope, self._params.laplacian)
            slope = pyramid.merge_bands([self._unit(band) for band in bands])
        return slope

    def _unit(self, band: Tensor) -> Tensor:
        return band / (sqrt(self._context.mean(band.square())) + EPSILON)


def _sizes(
    image: Tensor, params: DreamParams, network: Network, objective: Objective
) -> list[tuple[int, int]]:
    """Return the octaves' sizes that the network can take, smallest first."""
    extractor = network.extractor(objective.layers)
    sizes = pyramid.octave_sizes(image.shape[2], image.shape[3], params.octaves, params.scale)
    fitting = [size for size in sizes if extractor.fits(*size)]
    if not fitting:
        extractor.shapes(*sizes[-1])
        raise BadParameter("layers", f"no features in a picture of {sizes[-1]}; take a larger one")
    return fitting


def _mask(image: Tensor, params: DreamParams, context: Context) -> Tensor | None:
    if params.mask is None:
        return None
    grey = context.read(params.mask).mean(dim=1, keepdim=True)
    return pyramid.resize(grey, *image.shape[2:])
