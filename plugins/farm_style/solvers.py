"""How a picture comes closer to what is wanted: Adam and L-BFGS, from one size to the next.

A solver keeps what it knows when the picture grows. The loss must be one in which a pixel's
slope does not depend on the picture's size: then what is known of slopes is resized, and no more.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor

from farm.engine.pyramid import resize
from farm_style.params import StyleParams

Loss = Callable[[Tensor], tuple[Tensor, Tensor]]
"""From a picture to its loss and the loss's gradient."""

BETAS: Final = (0.9, 0.99)
"""Of Adam. Source: Crowson 2021, style-transfer-pytorch."""

HISTORY: Final = 10
"""Pairs of pictures that L-BFGS remembers: 20 times the picture's memory."""

TRIALS: Final = 25
"""Evaluations at most in one line search."""


class Solver(ABC):
    """Improves a picture step by step; begin gives it the next, larger one."""

    def __init__(self, params: StyleParams) -> None:
        self._params = params

    @abstractmethod
    def begin(self, picture: Tensor) -> None:
        """Go on with this picture and with what is known of the one before."""

    @abstractmethod
    def step(self, loss: Loss) -> None:
        """Take one step down."""

    @abstractmethod
    def result(self) -> Tensor:
        """Return the picture so far."""


class Adam(Solver):
    """Adam; what it gives is the average of its steps, later ones counting more.

    Source: Kingma & Ba 2014, arXiv 1412.6980; the average is corrected for its beginning as the
    moments are, section 3. Differs: colours are clipped at each step.
    """

    _optimizer: torch.optim.Adam | None = None
    _picture: Tensor

    def begin(self, picture: Tensor) -> None:
        self._picture = picture.clone().requires_grad_()
        self._average, self._share = torch.zeros_like(picture), 0.0
        made = torch.optim.Adam([self._picture], lr=self._params.step / 255, betas=BETAS)
        if self._optimizer:
            known = self._optimizer.state_dict()
            (state,) = known["state"].values()
            for moment in ("exp_avg", "exp_avg_sq"):
                state[moment] = resize(state[moment], *picture.shape[2:])
            made.load_state_dict(known)
        self._optimizer = made

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
    Differs: no tolerance ends it, since each pixel's slope is small where there are many.
    """

    _optimizer: torch.optim.LBFGS | None = None
    _picture: Tensor

    def begin(self, picture: Tensor) -> None:
        before = self._optimizer and self._picture.shape
        self._picture = picture.clone().requires_grad_()
        self._last: tuple[Tensor, Tensor, Tensor] | None = None
        made = torch.optim.LBFGS(
            [self._picture],
            max_iter=1,
            max_eval=TRIALS,
            history_size=HISTORY,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )
        if self._optimizer and before:
            known = self._optimizer.state_dict()
            (state,) = known["state"].values()
            if "old_dirs" in state:
                made.load_state_dict({**known, "state": {0: _grown(state, before, picture)}})
        self._optimizer = made

    def step(self, loss: Loss) -> None:
        assert self._optimizer
        self._optimizer.step(lambda: self._evaluate(loss))  # type: ignore[no-untyped-call]

    def result(self) -> Tensor:
        return self._picture.detach()

    def _evaluate(self, loss: Loss) -> Tensor:
        """Return the loss; a step begins where the last line search ended, which is known."""
        here = self._picture.detach()
        if self._last is None or not torch.equal(self._last[0], here):
            self._last = (here.clone(), *loss(here))
        _, value, self._picture.grad = self._last
        return value


def _grown(state: Mapping[str, Any], before: torch.Size, picture: Tensor) -> dict[str, Any]:
    """Return the state of torch's L-BFGS for a picture of another size.

    No pair of slopes can be learnt from between two sizes: the last step is one of length 0.
    """

    def grow(flat: Tensor) -> Tensor:
        return resize(flat.view(before), *picture.shape[2:]).flatten()

    pairs = [(grow(y), grow(s)) for y, s in zip(state["old_dirs"], state["old_stps"], strict=True)]
    pairs = [(y, s) for y, s in pairs if y.dot(s) > 0]
    still = torch.zeros_like(picture).flatten()
    return {
        **state,
        "d": still,
        "t": 0.0,
        "prev_flat_grad": still.clone(),
        "old_dirs": [y for y, _ in pairs],
        "old_stps": [s for _, s in pairs],
        "ro": [1 / y.dot(s) for y, s in pairs],
    }


SOLVERS: Final[Mapping[str, type[Solver]]] = {"adam": Adam, "lbfgs": LBFGS}
