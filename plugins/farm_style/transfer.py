"""Style transfer by optimisation, from small to large.

Source: Gatys, Ecker, Bethge 2015, arXiv 1508.06576. Multi-scale, with the optimiser's state
carried from one size to the next, and the average of its steps: Crowson 2021,
style-transfer-pytorch.
Differs: distances are relative to the targets' own size, and smoothness is part of the loss
itself, so that the solver's values and gradients belong together.
"""

from math import log, sqrt
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
"""Of neighbouring sizes."""

SMALLEST: Final = 128
"""Pixels of the longer side at which a transfer begins, unless told otherwise."""


def transfer(image: Tensor, params: StyleParams, context: Context) -> Tensor:
    """Return the image painted in the styles."""
    network = context.network(params.network, params.weights)
    content = image
    if params.keep_colours == "luminance":
        content = colours.lightness(image).expand_as(image)
    targets = StyleTargets(content, params, network, context)
    sizes = _sizes(content, params, network, targets)
    painted = _start(content, params, context)
    if context.previous:
        painted = painted.lerp(context.previous.image, context.previous.trust)
        sizes = sizes[-1:]
    solver = SOLVERS[params.optimizer](params)
    for number, size in enumerate(sizes):
        small = pyramid.resize(content, *size)
        solver.begin(pyramid.resize(painted, *size))
        loss = _loss(targets, small, params, network, context)
        for step in range(params.iterations):
            solver.step(loss)
            done = (number + (step + 1) / params.iterations) / len(sizes)
            context.progress(done, f"size {number + 1}/{len(sizes)}")
        painted = solver.result()
    if params.keep_colours == "luminance":
        painted = colours.with_colours_of(image, painted)
    return painted.clamp(0, 1)


def _loss(
    targets: StyleTargets, content: Tensor, params: StyleParams, network: Network, context: Context
) -> Loss:
    """Return the loss and its gradient as a function of the picture at the content's size.

    Both are multiplied by the number of pixels, so that a pixel's slope does not depend on it.
    """
    objectives = targets.objectives(content)
    pixels = content.shape[2] * content.shape[3]

    def loss(picture: Tensor) -> tuple[Tensor, Tensor]:
        value, slope = context.gradient(picture.detach(), network, *objectives)
        leaf = picture.detach().requires_grad_()
        with torch.enable_grad():
            smooth = params.tv * roughness(leaf)
            rough = torch.autograd.grad(smooth, leaf)[0]
        total = smooth.detach().double() - value
        if not total.isfinite():
            raise BadParameter(
                "step",
                f"the loss became {float(total)}; take a smaller one, smaller weights, or "
                "--precision float32",
            )
        return total * pixels, (rough - slope) * pixels

    return loss


def roughness(picture: Tensor) -> Tensor:
    """Return the mean square of steps down plus that of steps to the right.

    Source: Mahendran & Vedaldi 2014, arXiv 1412.0035, equation 3 with beta 2.
    Differs: the last row and column count too; a mean, not a sum.
    """
    down, right = picture.diff(dim=2), picture.diff(dim=3)
    return down.square().mean() + right.square().mean()


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
    """Return the sizes that the network can take, smallest first."""
    height, width = content.shape[2:]
    most = 1 + max(0, round(log(max(height, width) / SMALLEST, RATIO)))
    extractor = network.extractor((*targets.layers.style, *targets.layers.content))
    sizes = pyramid.octave_sizes(height, width, params.scales or most, RATIO)
    fitting = [size for size in sizes if extractor.fits(*size)]
    if not fitting:
        extractor.shapes(height, width)
        raise BadParameter(
            "style_layers", f"no features in a picture of {width}x{height}; take a larger one"
        )
    return fitting
