"""Detect when a network in training collapses to grey, blank, clipped, broken or equal pictures.

Source: a decade of user reports on feed-forward style networks and GANs whose pictures turned to
a single colour, or to a single picture, hours before anybody noticed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
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


THUMBNAIL: Final = 8
"""Side of the thumbnails that are compared, in pixels."""

_VALUES: Final = 3 * THUMBNAIL**2


@dataclass
class DiversityDetector:
    """Warns when a generator draws pictures that are all alike, or blank.

    The spread of a batch is how much the thumbnails of its pictures differ. It is compared with
    that of real pictures. A generator that draws a few different pictures again and again is not
    detected. A warning does not stop the run: later checkpoints show whether it recovers.

    spread: of real pictures; see spread_of. alike: the smallest share of it. blank: the smallest
    standard deviation within a picture, on average. patience: steps in a row that a fault may last
    before it is reported, because every generator draws blank pictures at first; a run that is
    resumed counts anew.
    """

    spread: float
    alike: float = 0.2
    blank: float = 0.02
    patience: int = 500

    def __post_init__(self) -> None:
        self._faulty_steps = 0

    def measure(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch _"]:
        """Return per picture: its thumbnail, the thumbnail's squares, its standard deviation."""
        values = pictures.detach().double()
        flat = thumbnails(values)
        deviation = values.std((2, 3), correction=0).mean(1)
        return torch.cat([flat, flat.square(), deviation[:, None]], 1)

    def check(
        self,
        step: int,  # noqa: ARG002 - of every detector
        losses: Mapping[str, float],  # noqa: ARG002 - of every detector
        measured: Float[Tensor, " _"],
    ) -> tuple[dict[str, float], str]:
        """Return the step's figures, and a description of a fault that lasts or an empty string.

        measured: the result of measure, averaged over the batch.
        """
        mean, square, deviation = torch.split(measured, [_VALUES, _VALUES, 1])
        variance = (square - mean.square()).clamp(min=0).mean()
        figures = {"spread": float(variance.sqrt()), "deviation": float(deviation)}
        fault = self._fault(figures)
        self._faulty_steps = self._faulty_steps + 1 if fault else 0
        return figures, fault if self._faulty_steps > self.patience else ""

    def _fault(self, figures: Mapping[str, float]) -> str:
        spread, deviation = figures["spread"], figures["deviation"]
        if not deviation >= self.blank:
            return f"the generator collapsed: its pictures are blank (deviation {deviation:.3f})"
        if spread < self.alike * self.spread:
            return (
                f"the generator collapsed: its pictures are all alike (spread {spread:.3f}, the "
                f"real ones {self.spread:.3f})"
            )
        return ""


def thumbnails(
    pictures: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch values"]:
    """Return each picture as a thumbnail of 8x8 mean colours."""
    return F.adaptive_avg_pool2d(pictures, THUMBNAIL).flatten(1)


def spread_of(pictures: Float[Tensor, "batch 3 height width"]) -> float:
    """Return how much pictures differ: the standard deviation of their thumbnails' pixels."""
    return float(thumbnails(pictures.double()).var(0, correction=0).mean().sqrt())
