"""Enhancement: solve for a picture whose features are the picture's own, amplified.

Source: Mahendran & Vedaldi 2014, arXiv 1412.0035 (inversion with a total-variation prior).
Differs: the target is amplified, the start is the picture itself, the solver is L-BFGS.
"""

import torch
from torch import Tensor

from farm import Context
from farm.engine import objectives, pyramid
from farm_dream.ascent import EPSILON
from farm_dream.params import DreamParams

HISTORY = 10
"""Pairs of pictures that L-BFGS remembers: 20 times the picture's memory."""


def enhance(image: Tensor, params: DreamParams, context: Context) -> Tensor:
    """Return the picture that the solver reaches in octaves * iterations steps."""
    network = context.network(params.network, params.weights)
    weights = params.layer_weights()
    targets = {k: params.amplify * context.features(image, network, k) for k in weights}
    objective = objectives.Target(weights, targets)
    unknown = image.clone().requires_grad_()
    steps = params.octaves * params.iterations
    solver = torch.optim.LBFGS(
        [unknown], max_iter=1, history_size=HISTORY, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        value, slope = context.gradient(unknown.detach(), network, objective)
        smooth = params.tv * pyramid.total_variation(unknown)
        unknown.grad = torch.autograd.grad(smooth, unknown)[0] - slope
        return smooth.detach() - value

    for step in range(steps):
        solver.step(loss)  # type: ignore[no-untyped-call]
        context.progress((step + 1) / steps, f"step {step + 1}/{steps}")
        if float(unknown.grad.abs().max()) < EPSILON:  # type: ignore[union-attr]
            break
    return unknown.detach().clamp(0, 1)
