"""Detect when a network in training collapses to grey, blank, clipped or broken pictures.

Source: a decade of user reports on feed-forward style networks and GANs whose pictures turned to
a single colour hours before anybody noticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from farm.errors import UserError

FIGURES: Final = ("deviation", "colour", "saturated")


@dataclass
class CollapseDetector:
    """Limits that a network's pictures must stay within.

    deviation: the smallest standard deviation of any channel within a picture. mean: the average
    colour of good pictures, in 0..1. colour: the largest difference from it, of any channel.
    span: the smallest and largest value that the network can output. saturated: the largest
    fraction of values within 1% of either end of the span. patience: steps in a row that a fault
    may last.
    """

    mean: tuple[float, float, float]
    span: tuple[float, float] = (0.0, 1.0)
    deviation: float = 0.02
    colour: float = 0.35
    saturated: float = 0.25
    patience: int = 200

    def __post_init__(self) -> None:
        self._faulty_steps = 0

    def measure(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 7"]:
        """Return per picture: 3 standard deviations, the mean colour, the saturated fraction."""
        values = pictures.detach().float()
        low, high = self.span
        margin = (high - low) / 100
        saturated = ((values < low + margin) | (values > high - margin)).float().mean((1, 2, 3))
        deviations, means = torch.std_mean(values, (2, 3), correction=0)
        return torch.cat([deviations, means, saturated[:, None]], 1)

    def check(
        self, step: int, _losses: Mapping[str, float], measured: Float[Tensor, "7"]
    ) -> tuple[dict[str, float], str]:
        """Return the step's figures, and a description of their fault or an empty string.

        measured: the result of measure, averaged over the batch. Raises UserError if a fault has
        lasted longer than patience.
        """
        *deviations, red, green, blue, saturated = measured.tolist()
        colour = max(abs(a - b) for a, b in zip((red, green, blue), self.mean, strict=True))
        figures = dict(zip(FIGURES, (min(deviations), colour, saturated), strict=True))
        fault = self._fault(figures)
        self._faulty_steps = self._faulty_steps + 1 if fault else 0
        if self._faulty_steps > self.patience:
            raise UserError(
                f"training collapsed at step {step}: {fault} ({self._faulty_steps} steps in a "
                "row); start again in another folder with a lower --rate"
            )
        return figures, fault

    def _fault(self, figures: Mapping[str, float]) -> str:
        deviation, colour, saturated = (figures[name] for name in FIGURES)
        if deviation < self.deviation:
            return f"a channel's standard deviation is {deviation:.3f}, below {self.deviation:g}"
        if colour > self.colour:
            return f"the mean colour is off by {colour:.2f}, more than {self.colour:g}"
        if saturated > self.saturated:
            return f"{saturated:.0%} of the values are saturated, more than {self.saturated:.0%}"
        return ""
