"""Enhancement: solve for a picture whose features are amplified versions of the original's.

Source: Mahendran & Vedaldi 2014, arXiv 1412.0035 (inversion with a total-variation prior).
Differs: the target is amplified, the solver starts from the picture and is L-BFGS.
"""

import torch
from torch import Tensor

from farm import Context
from farm.engine import objectives, pyramid
from farm_dream.ascent import EPSILON
from farm_dream.params import DreamParams

HISTORY = 10
"""Correction pairs that L-BFGS stores: 20 times the memory of the picture."""


def enhance(image: Tensor, params: DreamParams, context: Context) -> Tensor:
    """Return the picture after at most octaves * iterations solver steps."""
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
        value, gradient = context.gradient(unknown.detach(), network, objective)
        smooth = params.tv * pyramid.total_variation(unknown)
        unknown.grad = torch.autograd.grad(smooth, unknown)[0] - gradient
        return smooth.detach() - value

    for step in range(steps):
        solver.step(loss)  # type: ignore[no-untyped-call]
        context.progress((step + 1) / steps, f"step {step + 1}/{steps}")
        if float(unknown.grad.abs().max()) < EPSILON:  # type: ignore[union-attr]
            break
    return unknown.detach().clamp(0, 1)
