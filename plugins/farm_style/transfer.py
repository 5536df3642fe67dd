"""Style transfer by optimisation, from small sizes to large.

Source: Gatys, Ecker, Bethge 2015, arXiv 1508.06576. Multiple scales, optimiser state carried from
one size to the next, and averaged steps: Crowson 2021, style-transfer-pytorch.
Differs: distances are relative to the norm of the targets, and smoothness is part of the loss, so
that the loss and its gradient agree.
"""

from math import ceil, log, sqrt
from typing import Final

import torch
from torch import Tensor

from farm import BadParameter, Context
from farm.engine import pyramid
from farm.engine.networks import Network
from farm_style import colours
from farm_style.params import StyleParams
from farm_style.solvers import SOLVERS, Loss
from farm_style.targets import StyleTargets

RATIO: Final = sqrt(2)
"""Ratio between one size and the next."""

SMALLEST: Final = 128
"""Longer side of the first size, in pixels, by default."""

FULL_STRENGTH: Final = 512
"""Longer side from which on a strength counts in full. Strokes have a size in pixels and would cover a small picture."""

_LEAST: Final = 0.4
"""Share of the strength for the smallest pictures. Judged by eye: half of it at 256 pixels."""

_NEAR: Final = 0.5
"""Share of the steps for a frame that starts from the previous one. Measured: with all of them, films lose detail."""


def transfer(image: Tensor, params: StyleParams, context: Context) -> Tensor:
    """Return the image in the styles of the parameters."""
    params = _with_strength_for(params, max(image.shape[2:]))
    network = context.network(params.network, params.weights)
    content = image
    if params.keep_colours == "luminance":
        content = colours.luminance(image).expand_as(image)
    targets = StyleTargets(content, params, network, context)
    sizes = _sizes(content, params, network, targets)
    result = _start(content, params, context)
    iterations = params.iterations
    if context.previous:
        result = result.lerp(context.previous.image, context.previous.trust)
        sizes, iterations = sizes[-1:], ceil(iterations * _NEAR)
    solver = SOLVERS[params.optimizer](params)
    for number, size in enumerate(sizes):
        small = pyramid.resize(content, *size)
        solver.begin(pyramid.resize(result, *size))
        loss = _loss(targets, small, params, network, context)
        for step in range(iterations):
            solver.step(loss)
            done = (number + (step + 1) / iterations) / len(sizes)
            context.progress(done, f"size {number + 1}/{len(sizes)}")
        result = solver.result()
    if params.keep_colours == "luminance":
        result = colours.with_colours_of(image, result)
    return result.clamp(0, 1)


def _with_strength_for(params: StyleParams, longer_side: int) -> StyleParams:
    share = min(1, max(_LEAST, longer_side / FULL_STRENGTH))
    return params.model_copy(update={"strength": params.strength * share})


def _loss(
    targets: StyleTargets, content: Tensor, params: StyleParams, network: Network, context: Context
) -> Loss:
    """Return the loss and its gradient as a function of the picture at the content's size.

    Both are multiplied by the number of pixels, so that the gradient of a pixel does not depend on
    it.
    """
    objectives = targets.objectives(content)
    pixels = content.shape[2] * content.shape[3]
    tv = params.tv * min(1, params.strength)  # or a hint would be the smoothest of all

    def loss(picture: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = context.gradient(picture.detach(), network, *objectives)
        rough, rough_gradient = roughness(picture.detach())
        total = tv * rough.double() - value
        if not total.isfinite():
            raise BadParameter(
                "step",
                f"the loss became {float(total)}; use a smaller step, smaller weights or "
                "--precision float32",
            )
        return total * pixels, rough_gradient.mul_(tv).sub_(gradient).mul_(pixels)

    return loss


def roughness(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean squared difference of vertical neighbours plus that of horizontal ones, and its gradient.

    Source: Mahendran & Vedaldi 2014, arXiv 1412.0035, equation 3 with beta 2.
    Differs: includes the last row and column; a mean, not a sum.
    """
    total, gradient = picture.new_zeros(()), torch.zeros_like(picture)
    for dim in (2, 3):
        difference, count = picture.diff(dim=dim), picture.shape[dim] - 1
        total += difference.square().mean()
        difference *= 2 / difference.numel()
        gradient.narrow(dim, 1, count).add_(difference)
        gradient.narrow(dim, 0, count).sub_(difference)
    return total, gradient


def _start(content: Tensor, params: StyleParams, context: Context) -> Tensor:
    match params.start:
        case "content":
            return content
        case "noise":
            noise = torch.rand(content.shape, generator=context.generator(), dtype=content.dtype)
            return noise.to(content.device)
        case path:
            return pyramid.resize(context.read(path), *content.shape[2:])


def _sizes(
    content: Tensor, params: StyleParams, network: Network, targets: StyleTargets
) -> list[tuple[int, int]]:
    """Return the sizes that the network accepts, smallest first."""
    height, width = content.shape[2:]
    most = 1 + max(0, round(log(max(height, width) / SMALLEST, RATIO)))
    extractor = network.extractor((*targets.layers.style, *targets.layers.content))
    sizes = pyramid.octave_sizes(height, width, params.scales or most, RATIO)
    fitting = [size for size in sizes if extractor.fits(*size)]
    if not fitting:
        extractor.shapes(height, width)
        raise BadParameter(
            "style_layers",
            f"a picture of {width}x{height} is too small for these layers; use a larger one",
        )
    return fitting
