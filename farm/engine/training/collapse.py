"""Name a collapse while it happens: grey, blank, clipped or broken pictures from a network in training.

Source of the causes: a decade of reports by users of feed-forward style networks and GANs, whose
pictures turned to one colour hours before anybody looked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from farm.errors import UserError

FIGURES: Final = ("deviation", "colour", "saturated")


@dataclass
class CollapseDetector:
    """What a network's pictures must keep to.

    deviation: the least spread of any channel within a picture. mean: the colour that pictures
    are on average, in 0..1. colour: the largest distance from it, of any channel. span: the least
    and greatest value the network can give. saturated: the largest share of values in the outer
    hundredth of it. patience: steps in a row that a fault may last.
    """

    mean: tuple[float, float, float]
    span: tuple[float, float] = (0.0, 1.0)
    deviation: float = 0.02
    colour: float = 0.35
    saturated: float = 0.25
    patience: int = 200

    def __post_init__(self) -> None:
        self._lasting = 0

    def measure(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 7"]:
        """Return what is judged of each picture: deviations, mean colours, saturated share."""
        values = pictures.detach().float()
        low, high = self.span
        margin = (high - low) / 100
        outer = ((values < low + margin) | (values > high - margin)).float().mean((1, 2, 3))
        deviations, means = torch.std_mean(values, (2, 3), correction=0)
        return torch.cat([deviations, means, outer[:, None]], 1)

    def judge(
        self, step: int, losses: Mapping[str, float], found: Float[Tensor, "7"]
    ) -> tuple[dict[str, float], str]:
        """Return the figures, and what is wrong with them; empty where nothing is.

        found: measure's, averaged over the batch. Raises UserError where a loss is no number,
        or where a fault has lasted too long.
        """
        for name, loss in losses.items():
            if not isfinite(loss):
                raise UserError(
                    f"training broke at step {step}: {name} is {loss}; try a lower --rate"
                )
        *deviations, red, green, blue, outer = found.tolist()
        away = max(abs(a - b) for a, b in zip((red, green, blue), self.mean, strict=True))
        figures = dict(zip(FIGURES, (min(deviations), away, outer), strict=True))
        fault = self._fault(figures)
        self._lasting = self._lasting + 1 if fault else 0
        if self._lasting > self.patience:
            raise UserError(
                f"training collapsed: for {self._lasting} steps up to {step}, {fault}; begin again "
                "in another folder with a lower --rate"
            )
        return figures, fault

    def _fault(self, figures: Mapping[str, float]) -> str:
        deviation, away, outer = (figures[name] for name in FIGURES)
        if deviation < self.deviation:
            return f"a channel varies by {deviation:.3f} only, the least is {self.deviation:g}"
        if away > self.colour:
            return f"the mean colour is {away:.2f} away, the most is {self.colour:g}"
        if outer > self.saturated:
            return f"{outer:.0%} of the values are saturated, the most is {self.saturated:.0%}"
        return ""
