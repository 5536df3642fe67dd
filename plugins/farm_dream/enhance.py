"""Enhancement: solve for a picture whose features are amplified versions of the original's.

Source: Mahendran & Vedaldi 2014, arXiv 1412.0035 (inversion with a total-variation prior).
Differs: the target is amplified, the solver starts from the picture and is L-BFGS, and works
through sizes from small to large, so that a picture looks the same at every size.
"""

from collections.abc import Callable
from math import ceil, log2
from typing import Final

import torch
from torch import Tensor

from farm import Context
from farm.engine import objectives, pyramid
from farm.engine.networks import Network
from farm_dream.ascent import fitting_sizes, mask_of
from farm_dream.continuing import carried, missing_steps
from farm_dream.params import DreamParams

HISTORY: Final = 10
"""Correction pairs that L-BFGS stores: 20 times the memory of the picture."""

TRIALS: Final = 25
"""Most evaluations in one line search."""

SMALLEST: Final = 192
"""Longer side of the first size, in pixels; each further size is at most twice the last."""


Loss = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A function from a picture to its loss and gradient."""


def enhance(image: Tensor, params: DreamParams, context: Context) -> Tensor:
    """Return the picture after octaves * iterations solver steps at each size."""
    network = context.network(params.network, params.weights)
    sizes = _sizes(image, params, network)
    steps, detail = params.octaves * params.iterations, torch.zeros_like(image[..., :1, :1])
    if context.previous:
        sizes = sizes[-1:]
        steps = params.octaves * missing_steps(params, context.previous, context)[0]
        detail = carried(image, params, context.previous) - image
    mask = mask_of(params, image, context)
    for number, size in enumerate(sizes):
        base = pyramid.resize(image, *size)

        def progress(done: float, number: int = number) -> None:
            note = f"size {number + 1}/{len(sizes)}"
            context.progress((number + done) / len(sizes), note)

        loss = _loss(base, params, network, context)
        start = base + pyramid.resize(detail, *size)
        enhanced = _solve(start, loss, steps, progress)
        detail = enhanced - base
    if mask is not None:
        enhanced = image.lerp(enhanced, mask)
    return enhanced.clamp(0, 1)


def _sizes(image: Tensor, params: DreamParams, network: Network) -> list[tuple[int, int]]:
    """Return the sizes that the network accepts, smallest first."""
    height, width = image.shape[2:]
    doublings = log2(max(height, width, SMALLEST) / SMALLEST)
    growths = ceil(round(doublings, 6))
    scale = 2 ** (doublings / growths) if growths else 2.0
    sizes = pyramid.octave_sizes(height, width, 1 + growths, scale)
    return fitting_sizes(sizes, network.extractor(tuple(params.layer_weights())))


def _loss(original: Tensor, params: DreamParams, network: Network, context: Context) -> Loss:
    """Return the loss and its gradient as a function of the picture.

    Both are multiplied by the number of pixels, so that the gradient of a pixel does not depend on
    it.
    """
    weights = params.layer_weights()
    targets = {k: params.amplify * context.features(original, network, k) for k in weights}
    objective = objectives.Target(weights, targets)
    pixels = original.shape[2] * original.shape[3]

    def loss(picture: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient = context.gradient(picture.detach(), network, objective)
        leaf = picture.detach().requires_grad_()
        with torch.enable_grad():
            smooth = params.tv * pyramid.total_variation(leaf)
            smooth_gradient = torch.autograd.grad(smooth, leaf)[0]
        return (smooth.detach().double() - value) * pixels, (smooth_gradient - gradient) * pixels

    return loss


def _solve(start: Tensor, loss: Loss, steps: int, progress: Callable[[float], None]) -> Tensor:
    """Return the picture after this many steps of L-BFGS. No tolerance stops it earlier."""
    unknown = start.clone().requires_grad_()
    solver = torch.optim.LBFGS(
        [unknown],
        max_iter=steps,
        max_eval=steps * TRIALS,
        history_size=HISTORY,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> Tensor:
        value, unknown.grad = loss(unknown)
        progress(solver.state[unknown]["n_iter"] / steps)
        return value

    solver.step(evaluate)  # type: ignore[no-untyped-call]
    return unknown.detach()
