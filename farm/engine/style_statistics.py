"""What of a picture is its style: statistics of features that forget where they were.

All of them add up over positions, so tiles give the whole picture's. Distances are relative to
the style's own size, so that a weight means the same for any layer and any network.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.objectives import Features, Objective, Scalar, Window
from farm.engine.pyramid import resize

Map = Float[Tensor, "1 1 rows columns"]
Rows = Float[Tensor, "positions channels"]
Moments = Float[Tensor, "channels columns"]

REGULAR = 1e-4
"""Added to covariances, in parts of the style's mean square: the root of 0 has no slope."""


class Goal(ABC):
    """One layer's statistics of a style, and how far others are from them."""

    @abstractmethod
    def __init__(self, moments: Moments) -> None:
        """Take the style's own moments, float64."""

    @staticmethod
    @abstractmethod
    def moments(rows: Rows, share: Tensor | float) -> Moments:
        """Return statistics that add up. share: of each position in the whole, or of all."""

    @abstractmethod
    def distance(self, found: Moments) -> Scalar:
        """Return the squared distance in parts of the style's squared size; 0 or more."""


class Gram(Goal):
    """Second moments of features: which go together, and how strongly.

    Source: Gatys, Ecker, Bethge 2015, arXiv 1508.06576, equations 3 and 4.
    Differs: means over positions; the distance is relative to the style's own norm.
    """

    def __init__(self, moments: Moments) -> None:
        self._moments, self._size = moments, _at_least_tiny(moments.square().sum())

    @staticmethod
    def moments(rows: Rows, share: Tensor | float) -> Moments:
        return _second(rows, share)

    def distance(self, found: Moments) -> Scalar:
        return (found - self._moments).square().sum() / self._size


class Gaussian(Goal):
    """Mean and covariance of features, compared by optimal transport between Gaussians.

    Sources: Olkin & Pukelsheim 1982, "The distance between two random vectors with given
    dispersion matrices"; as the statistic of a style: Crowson 2021, style-transfer-pytorch.
    Differs: raw moments are summed, and the trace of the root comes from eigenvalues, with a
    slope that holds where some are equal.
    """

    def __init__(self, moments: Moments) -> None:
        self._mean, covariance = _gaussian(moments)
        self._size = _at_least_tiny(self._mean.square().sum() + covariance.trace())
        one = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        self._ridge = REGULAR * self._size / len(covariance)
        self._regular = self._ridge * one
        self._covariance = covariance + self._regular
        values, vectors = torch.linalg.eigh(self._covariance)
        self._root = vectors * values.clamp(min=0).sqrt() @ vectors.T

    @staticmethod
    def moments(rows: Rows, share: Tensor | float) -> Moments:
        return torch.cat([_second(rows, share), (rows * share).sum(0)[:, None]], 1)

    def distance(self, found: Moments) -> Scalar:
        mean, covariance = _gaussian(found)
        covariance = covariance + self._regular
        both = _trace_of_root(self._root @ covariance @ self._root, self._ridge**2)
        spread = (covariance + self._covariance).trace() - 2 * both
        return ((mean - self._mean).square().sum() + spread) / self._size


@dataclass(frozen=True, eq=False)
class Style:
    """A style to come closer to: its goals by layer, and the weight of its distance.

    mask: how much it acts where, 0..1, of the whole picture at any size; None: everywhere.
    """

    goals: Mapping[str, Goal]
    weight: float = 1.0
    mask: Map | None = None


class StyleDistance(Objective):
    """Minus the weighted distance to styles, summed over layers.

    kind: of the goals. weights: of the layers. styles: all with a mask, or none; without styles
    there are only statistics, those of a picture whose style is wanted.
    """

    def __init__(
        self, kind: type[Goal], weights: Mapping[str, float], styles: Sequence[Style] = ()
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._kind, self._styles = kind, tuple(styles)
        self._masks = [style.mask for style in styles if style.mask is not None]
        self._shares: dict[tuple[int, str], Map] = {}

    def statistics(
        self, layer: str, features: Features, window: Window
    ) -> Float[Tensor, "regions channels columns"]:
        rows = features[0].flatten(1).T
        if not self._masks:
            return self._kind.moments(rows, 1 / window.positions)[None]
        maps = [self._share(number, layer, window) for number in range(len(self._masks))]
        shares = [window.crop(whole).flatten()[:, None] for whole in maps]
        return torch.stack([self._kind.moments(rows, share) for share in shares])

    def loss(self, statistics: Mapping[str, Tensor]) -> Scalar:
        terms = [
            style.weight * weight * style.goals[layer].distance(found)
            for layer, weight in self._weights.items()
            for style, found in zip(self._styles, self._regions(statistics[layer]), strict=True)
        ]
        return -torch.stack(terms).sum()

    def _regions(self, found: Tensor) -> Tensor:
        """Return one set of moments for each style."""
        return found.expand(len(self._styles), -1, -1)

    def _share(self, number: int, layer: str, window: Window) -> Map:
        """Return each position's share of a mask that a layer sees; they add up to 1."""
        if (number, layer) not in self._shares:
            there = resize(self._masks[number], window.whole.rows, window.whole.columns)
            self._shares[number, layer] = there / _at_least_tiny(there.sum())
        return self._shares[number, layer]


def _second(rows: Rows, share: Tensor | float) -> Tensor:
    if isinstance(share, float):
        return (rows.T @ rows) * share
    return (rows * share).T @ rows


def _at_least_tiny(value: Tensor) -> Tensor:
    return value.clamp(min=torch.finfo(value.dtype).tiny)


def _gaussian(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return mean and covariance."""
    mean = moments[:, -1]
    return mean, moments[:, :-1] - mean[:, None] * mean


def _trace_of_root(matrix: Tensor, least: Tensor) -> Scalar:
    """Return the trace of a positive matrix's root. least: no eigenvalue is taken for smaller.

    The slope is half the inverse root: unlike an eigenvector's it divides by no difference.
    """
    values, vectors = torch.linalg.eigh(matrix.detach())
    roots: Tensor = values.clamp(min=least).sqrt()
    slope = (vectors / (2 * roots)) @ vectors.T
    trace: Scalar = roots.sum() + (slope * (matrix - matrix.detach())).sum()
    return trace
