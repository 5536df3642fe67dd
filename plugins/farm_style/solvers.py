"""Solvers that minimise a loss over a picture: Adam and L-BFGS, from one size to the next.

A solver keeps its state when the picture grows. The gradient of a pixel must not depend on the
size of the picture, so that resizing the state is enough.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from farm.engine.pyramid import resize
from farm_style.params import StyleParams

Loss = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A function from a picture to its loss and gradient."""

BETAS: Final = (0.9, 0.99)
"""Adam's decay rates. Source: Crowson 2021, style-transfer-pytorch."""

HISTORY: Final = 10
"""Correction pairs that L-BFGS stores: 20 times the memory of the picture."""

TRIALS: Final = 25
"""Most evaluations in one line search."""

FIRST: Final = 1 / 255
"""Mean change of a pixel that L-BFGS tries first, before it knows the scale of the loss."""


class Solver(ABC):
    """Improves a picture step by step. Call begin() with the first picture and each larger one."""

    def __init__(self, params: StyleParams) -> None:
        self._params = params

    @abstractmethod
    def begin(self, picture: Tensor) -> None:
        """Continue with this picture, and with the state from the previous size."""

    @abstractmethod
    def step(self, loss: Loss) -> None:
        """Take one step to lower the loss."""

    @abstractmethod
    def result(self) -> Tensor:
        """Return the current picture."""


class Adam(Solver):
    """Adam. Its result is an exponential moving average of its steps.

    Source: Kingma & Ba 2014, arXiv 1412.6980; the average is bias-corrected like the moments,
    section 3. Differs: colours are clipped at each step.
    """

    _optimizer: torch.optim.Adam | None = None
    _picture: Tensor

    def begin(self, picture: Tensor) -> None:
        self._picture = picture.clone().requires_grad_()
        self._average, self._share = torch.zeros_like(picture), 0.0
        optimizer = torch.optim.Adam([self._picture], lr=self._params.step / 255, betas=BETAS)
        if self._optimizer:
            saved = self._optimizer.state_dict()
            (state,) = saved["state"].values()
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment] = resize(state[moment], *picture.shape[2:])
            optimizer.load_state_dict(saved)
        self._optimizer = optimizer

    def step(self, loss: Loss) -> None:
        assert self._optimizer
        _, self._picture.grad = loss(self._picture)
        self._optimizer.step()
        latest = self._picture.detach().clamp_(0, 1)
        new = 1 - self._params.average
        self._average.lerp_(latest, new)
        self._share += new * (1 - self._share)

    def result(self) -> Tensor:
        return self._average / self._share


class LBFGS(Solver):
    """L-BFGS with steps that meet the strong Wolfe conditions.

    Source: Liu & Nocedal 1989, "On the limited memory BFGS method for large scale optimization".
    Differs: no tolerance stops it, since a single pixel of a large picture has a small gradient.
    """

    _optimizer: torch.optim.LBFGS | None = None
    _picture: Tensor

    def begin(self, picture: Tensor) -> None:
        old_shape = self._optimizer and self._picture.shape
        self._picture = picture.clone().requires_grad_()
        self._last: tuple[Tensor, Tensor, Tensor] | None = None
        optimizer = torch.optim.LBFGS(
            [self._picture],
            max_iter=1,
            max_eval=TRIALS,
            history_size=HISTORY,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        if self._optimizer and old_shape:
            saved = self._optimizer.state_dict()
            (state,) = saved["state"].values()
            if "old_dirs" in state:
                optimizer.load_state_dict(
                    {**saved, "state": {0: _resize_state(state, old_shape, picture)}}
                )
        self._optimizer = optimizer

    def step(self, loss: Loss) -> None:
        assert self._optimizer
        (group,) = self._optimizer.param_groups
        # The first trial is the gradient, divided by the sum of its sizes, times lr.
        group["lr"] = 1 if self._optimizer.state else FIRST * self._picture.numel()
        self._optimizer.step(lambda: self._evaluate(loss))  # type: ignore[no-untyped-call]

    def result(self) -> Tensor:
        return self._picture.detach()

    def _evaluate(self, loss: Loss) -> Tensor:
        """Return the loss, without recomputing it where the last line search ended."""
        here = self._picture.detach()
        if self._last is None or not torch.equal(self._last[0], here):
            self._last = (here.clone(), *loss(here))
        _, value, self._picture.grad = self._last
        return value


def _resize_state(
    state: Mapping[str, Any], old_shape: torch.Size, picture: Tensor
) -> dict[str, Any]:
    """Return the state of torch's L-BFGS, resized to the picture.

    Gradients at two sizes give no correction pair, so the last step is recorded with length 0.
    """

    def enlarge(flat: Tensor) -> Tensor:
        return resize(flat.view(old_shape), *picture.shape[2:]).flatten()

    pairs = [
        (enlarge(y), enlarge(s)) for y, s in zip(state["old_dirs"], state["old_stps"], strict=True)
    ]
    pairs = [(y, s) for y, s in pairs if y.dot(s) > 0]
    zeros = torch.zeros_like(picture).flatten()
    return {
        **state,
        "d": zeros,
        "t": 0.0,
        "prev_flat_grad": zeros.clone(),
        "old_dirs": [y for y, _ in pairs],
        "old_stps": [s for _, s in pairs],
        "ro": [1 / y.dot(s) for y, s in pairs],
    }


SOLVERS: Final[Mapping[str, type[Solver]]] = {"adam": Adam, "lbfgs": LBFGS}
