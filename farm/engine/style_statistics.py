"""Style objectives: statistics of features that do not depend on their positions.

The statistics add up over positions, so tiles give those of the whole picture. Distances are
relative to the style's own magnitude, so a weight means the same for any layer and any network.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.objectives import Features, Objective, Scalar, Window
from farm.engine.pyramid import resize

Map = Float[Tensor, "1 1 rows columns"]
Rows = Float[Tensor, "positions channels"]
Weights = Float[Tensor, "positions 1"] | float
Moments = Float[Tensor, "channels moments"]

RIDGE = 1e-4
"""Added to covariances, relative to the style's mean square: a root has no gradient at 0."""


class Goal(ABC):
    """One layer's statistics of a style, and the distance of others to them."""

    @abstractmethod
    def __init__(self, moments: Moments) -> None:
        """Set the style's own moments, in float64."""

    @staticmethod
    @abstractmethod
    def moments(rows: Rows, weights: Weights) -> Moments:
        """Return statistics that add up over positions. weights: of each position, or of all."""

    @abstractmethod
    def distance(self, moments: Moments) -> Scalar:
        """Return the squared distance, relative to the style's squared magnitude."""


class Gram(Goal):
    """Gram matrix: second moments of the features.

    Source: Gatys, Ecker, Bethge 2015, arXiv 1508.06576, equations 3 and 4.
    Differs: a mean over positions; the distance is relative to the style's own norm.
    """

    def __init__(self, moments: Moments) -> None:
        self._moments, self._size = moments, _at_least_tiny(moments.square().sum())

    @staticmethod
    def moments(rows: Rows, weights: Weights) -> Moments:
        return _moments(rows, weights)[0]

    def distance(self, moments: Moments) -> Scalar:
        return (moments - self._moments).square().sum() / self._size


class Gaussian(Goal):
    """Mean and covariance of the features, compared by optimal transport between Gaussians.

    Sources: Olkin & Pukelsheim 1982, "The distance between two random vectors with given
    dispersion matrices"; as a style statistic: Crowson 2021, style-transfer-pytorch.
    Differs: raw moments are summed, and the trace of the matrix root is computed from eigenvalues,
    with a gradient that is valid even if some are equal.
    """

    def __init__(self, moments: Moments) -> None:
        self._mean, covariance = _gaussian(moments)
        self._size = _at_least_tiny(self._mean.square().sum() + covariance.trace())
        one = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
        self._ridge = RIDGE * self._size / len(covariance)
        self._ridge_matrix = self._ridge * one
        self._covariance = covariance + self._ridge_matrix
        values, vectors = torch.linalg.eigh(self._covariance)
        self._root = vectors * values.clamp(min=0).sqrt() @ vectors.T

    @staticmethod
    def moments(rows: Rows, weights: Weights) -> Moments:
        second, first = _moments(rows, weights)
        return torch.cat([second, first[:, None]], 1)

    def distance(self, moments: Moments) -> Scalar:
        mean, covariance = _gaussian(moments)
        covariance = covariance + self._ridge_matrix
        cross = _trace_of_root(self._root @ covariance @ self._root, self._ridge**2)
        spread = (covariance + self._covariance).trace() - 2 * cross
        return ((mean - self._mean).square().sum() + spread) / self._size


@dataclass(frozen=True, eq=False)
class Style:
    """A style to approach: its goals by layer, and the weight of its distance.

    mask: the style's strength at each position, 0..1, covering the whole picture at any size;
    None applies the style everywhere.
    """

    goals: Mapping[str, Goal]
    weight: float = 1.0
    mask: Map | None = None


class StyleDistance(Objective):
    """Minus the weighted distance to styles, summed over layers.

    kind: the class of the goals. weights: of the layers. styles: either all have a mask, or none
    has. Without styles, only statistics are available, to measure a style picture.
    """

    def __init__(
        self, kind: type[Goal], weights: Mapping[str, float], styles: Sequence[Style] = ()
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._kind, self._styles = kind, tuple(styles)
        self._masks = [style.mask for style in styles if style.mask is not None]
        self._weight_maps: dict[tuple[int, str], Map] = {}

    def statistics(
        self, layer: str, features: Features, window: Window
    ) -> Float[Tensor, "regions channels moments"]:
        rows = features.flatten(2).squeeze(0).T  # features[0] would copy its gradient
        if not self._masks:
            return self._kind.moments(rows, 1 / window.positions)[None]
        maps = [self._weight_map(number, layer, window) for number in range(len(self._masks))]
        weights = [window.crop(whole).flatten()[:, None] for whole in maps]
        return torch.stack([self._kind.moments(rows, column) for column in weights])

    def loss(self, statistics: Mapping[str, Tensor]) -> Scalar:
        terms = [
            style.weight * weight * style.goals[layer].distance(moments)
            for layer, weight in self._weights.items()
            for style, moments in zip(self._styles, self._regions(statistics[layer]), strict=True)
        ]
        return -torch.stack(terms).sum()

    def _regions(self, moments: Tensor) -> Tensor:
        """Return one set of moments per style."""
        return moments.expand(len(self._styles), -1, -1)

    def _weight_map(self, number: int, layer: str, window: Window) -> Map:
        """Return a mask at the layer's size, normalised to a sum of 1."""
        if (number, layer) not in self._weight_maps:
            mask = resize(self._masks[number], window.whole.rows, window.whole.columns)
            self._weight_maps[number, layer] = mask / _at_least_tiny(mask.sum())
        return self._weight_maps[number, layer]


def _moments(rows: Rows, weights: Weights) -> tuple[Tensor, Tensor]:
    """Return the second moments, [channels, channels], and the first ones, [channels]."""
    if isinstance(weights, float):
        second, first = _Moments.apply(rows)
        return second * weights, first * weights
    weighted = rows * weights
    return weighted.T @ rows, weighted.sum(0)


class _Moments(torch.autograd.Function):
    """Sums of products and of values over rows, with one product to differentiate both."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(rows)
        return rows.T @ rows, rows.sum(0)

    @staticmethod
    def backward(ctx: Any, second: Tensor, first: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return torch.addmm(first, rows, second + second.T)


def _at_least_tiny(value: Tensor) -> Tensor:
    return value.clamp(min=torch.finfo(value.dtype).tiny)


def _gaussian(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance."""
    mean = moments[:, -1]
    return mean, moments[:, :-1] - mean[:, None] * mean


def _trace_of_root(matrix: Tensor, least: Tensor) -> Scalar:
    """Return the trace of a positive matrix's square root. least: lower bound of eigenvalues.

    The gradient is half the inverse root. Unlike autograd's through eigenvectors, it never divides
    by a difference of eigenvalues.
    """
    values, vectors = torch.linalg.eigh(matrix.detach())
    roots: Tensor = values.clamp(min=least).sqrt()
    gradient = (vectors / (2 * roots)) @ vectors.T
    trace: Scalar = roots.sum() + (gradient * (matrix - matrix.detach())).sum()
    return trace
