"""Dropout whose noise is a function of seed, step and row.

So it does not change when a run is resumed, or when a batch is computed in parts or by several
workers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from farm.engine.training import row_generator


@dataclass
class Place:
    """Which rows of which step a network is computing."""

    seed: int
    step: int = 0
    rows: range = range(0)


class RowDropout(nn.Module):
    """Dropout with a generator for each row. name: distinguishes the layers of a network."""

    def __init__(self, share: float, name: str, place: Place) -> None:
        super().__init__()
        self._share, self._name, self._place = share, name, place

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self._share:
            return x
        place, shape = self._place, x.shape[1:]
        use = f"dropout {self._name}"
        draws = [
            torch.rand(shape, generator=row_generator(place.seed, place.step, row, use))
            for row in place.rows
        ]
        kept = torch.stack(draws).to(x.device) >= self._share
        return x * kept / (1 - self._share)


def replace_dropout(network: nn.Module, place: Place) -> None:
    """Replace every dropout of a network by one that draws its noise by row."""
    for name, part in list(network.named_modules()):
        if isinstance(part, nn.Dropout):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, RowDropout(part.p, name, place))


def set_training(network: nn.Module) -> None:
    """Let a network compute all its outputs, with dropout and no other noise.

    Batch norm uses the running statistics that the network came with, and leaves them as they are;
    so a picture's gradient does not depend on the others in its batch. Stochastic depth is off.
    """
    network.train()
    for part in network.modules():
        is_noisy = type(part).__name__ == "StochasticDepth"
        if is_noisy or isinstance(part, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - has no public name
            part.eval()
