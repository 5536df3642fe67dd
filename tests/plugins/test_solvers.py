"""The solvers of the style transfer."""

import torch
from torch import Tensor

from farm_style.params import StyleParams
from farm_style.solvers import LBFGS


def evaluations_of_first_step(side: int) -> int:
    count = 0

    def loss(picture: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal count
        count += 1
        return (picture - 0.6).square().sum().double(), 2 * (picture - 0.6)

    solver = LBFGS(StyleParams(styles=("style.png",), optimizer="lbfgs"))
    solver.begin(torch.full((1, 3, side, side), 0.5))
    solver.step(loss)
    assert torch.allclose(solver.result(), torch.tensor(0.6), atol=0.1)
    return count


def test_the_first_step_of_lbfgs_costs_the_same_at_every_size() -> None:
    assert evaluations_of_first_step(16) == evaluations_of_first_step(512) <= 3
