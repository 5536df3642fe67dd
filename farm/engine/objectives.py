"""Objectives: scalar functions of features that a picture is changed to maximise.

Every objective uses statistics that add up over positions, so tiles can be computed one by one.
If the value is the sum of the statistics themselves (LocalObjective), one pass is enough;
otherwise the statistics of all tiles are summed first (see gradient).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.networks import HEAD, Shape
from farm.engine.tiles import Span

Features = Float[Tensor, "1 channels rows columns"]
Piece = Float[Tensor, "1 channels piece_rows piece_columns"]
Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class Window:
    """The position of a piece of a layer's features in the layer's whole map."""

    rows: Span
    columns: Span
    whole: Shape

    @property
    def positions(self) -> int:
        """Number of positions in the whole map."""
        return self.whole.rows * self.whole.columns

    def crop(self, whole_map: Features) -> Piece:
        """Return this piece of a map of the whole layer."""
        rows, columns = self.rows, self.columns
        return whole_map[:, :, rows.start : rows.stop, columns.start : columns.stop]


class Objective(ABC):
    """A scalar to maximise. layers: names of the layers it reads, in execution order."""

    layers: tuple[str, ...]

    @abstractmethod
    def statistics(self, layer: str, features: Features, window: Window) -> Tensor:
        """Return this piece's part of the statistics, in float32 or float64."""

    @abstractmethod
    def loss(self, statistics: Mapping[str, Tensor]) -> Scalar:
        """Return the objective's value, given the statistics of the whole picture."""


class LocalObjective(Objective):
    """An objective that is a sum over positions, so one pass gives its gradient."""

    @abstractmethod
    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        """Return this piece's part of the value."""

    def loss(self, statistics: Mapping[str, Tensor]) -> Scalar:
        return torch.stack(list(statistics.values())).sum()


class Energy(LocalObjective):
    """Half the mean square of whole layers, weighted; the original DeepDream objective.

    Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism".
    Differs: a mean instead of a sum, so that weights are comparable between layers.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        count = window.positions * window.whole.channels
        return self._weights[layer] * features.square().sum() / (2 * count)


class Channels(LocalObjective):
    """Mean activation of given channels, weighted by layer.

    channels: their numbers, or a weight for each. Source: Olah, Mordvintsev, Schubert 2017, "Feature Visualization" (channel objective).
    """

    def __init__(
        self, weights: Mapping[str, float], channels: Mapping[int, float] | Sequence[int]
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._channels, self._shares = _shares(channels)

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        shares = features.new_tensor(self._shares).view(-1, 1, 1)
        return (
            self._weights[layer] * (features[:, self._channels] * shares).sum() / window.positions
        )


class Neurons(LocalObjective):
    """Activation of given channels at one position. y, x: fractions 0..1 of height and width.

    channels: their numbers, or a weight for each.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        channels: Mapping[int, float] | Sequence[int],
        y: float,
        x: float,
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._channels, self._shares = _shares(channels)
        self._y, self._x = y, x

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        row = min(int(self._y * window.whole.rows), window.whole.rows - 1)
        column = min(int(self._x * window.whole.columns), window.whole.columns - 1)
        if not (row in window.rows and column in window.columns):
            return features.sum() * 0
        here = features[:, :, row - window.rows.start, column - window.columns.start]
        shares = features.new_tensor(self._shares)
        return self._weights[layer] * (here[:, self._channels] * shares).sum()


def _shares(channels: Mapping[int, float] | Sequence[int]) -> tuple[list[int], list[float]]:
    """Return the numbers of channels, and the weight of each."""
    if isinstance(channels, Mapping):
        return list(channels), list(channels.values())
    return list(channels), [1.0] * len(channels)


class Classes(LocalObjective):
    """Weighted sum of the unnormalised scores of given classes.

    Source: Simonyan, Vedaldi, Zisserman 2013, arXiv 1312.6034, equation 1, without its penalty.
    """

    layers = (HEAD,)

    def __init__(self, weights: Mapping[int, float]) -> None:
        self._classes, self._weights = list(weights), list(weights.values())

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:  # noqa: ARG002 - there is only one layer
        scores = features[0, self._classes].sum((1, 2))
        return (scores * scores.new_tensor(self._weights)).sum() / window.positions


class Guide(LocalObjective):
    """Similarity of each position's feature to the guide feature that matches it best.

    guides: the guide picture's features by layer. block: positions matched at once, to bound
    memory. Source: Mordvintsev et al. 2015 (guided dream).
    """

    def __init__(
        self, weights: Mapping[str, float], guides: Mapping[str, Features], block: int = 4096
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._guides = {k: g[0].flatten(1).T.contiguous() for k, g in guides.items()}
        self._block = block

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        guide = self._guides[layer].to(features.dtype)
        here = features.flatten(2).squeeze(0).T
        best = torch.cat(
            [(rows.detach() @ guide.T).argmax(1) for rows in torch.split(here, self._block)]
        )
        return self._weights[layer] * (here * guide[best]).sum() / window.positions


class Target(LocalObjective):
    """Minus half the squared distance to target features, relative to the targets' squared norm.

    targets: features of the whole layer. Source: Mahendran & Vedaldi 2014, arXiv 1412.0035,
    equation 2. Differs: halved, weighted and summed over layers.
    """

    def __init__(self, weights: Mapping[str, float], targets: Mapping[str, Features]) -> None:
        self.layers, self._weights, self._targets = tuple(weights), dict(weights), targets
        self._energies = {k: float(t.square().sum()) or 1.0 for k, t in targets.items()}

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        target = window.crop(self._targets[layer])
        distance = _SumOfSquares.apply(features - target)
        return -self._weights[layer] * distance / (2 * self._energies[layer])  # type: ignore[no-any-return]


class _SumOfSquares(torch.autograd.Function):
    """The sum of squares, with one product to differentiate it; torch's own needs three."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        ctx.save_for_backward(values)
        return values.square().sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (values,) = ctx.saved_tensors
        return values * (2 * gradient)  # type: ignore[no-any-return]
