"""Scalar functions of features that are sums over positions: what a picture is pulled towards.

Every objective takes statistics that add up over positions, so tiles may be done one by one.
Where the loss is the sum of the statistics themselves (LocalObjective) one pass is enough;
otherwise the statistics of all tiles are summed first (see gradient).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.networks import HEAD, Shape
from farm.engine.tiles import Span

Features = Float[Tensor, "1 channels rows columns"]
Scalar = Float[Tensor, ""]


@dataclass(frozen=True)
class Window:
    """Where a piece of a layer's features lies in the layer's whole map."""

    rows: Span
    columns: Span
    whole: Shape

    @property
    def positions(self) -> int:
        """Positions in the whole map."""
        return self.whole.rows * self.whole.columns

    def crop(self, whole_map: Features) -> Features:
        """Return this piece of a map that covers the whole layer."""
        rows, columns = self.rows, self.columns
        return whole_map[:, :, rows.start : rows.stop, columns.start : columns.stop]


class Objective(ABC):
    """A scalar to climb. layers: names of the layers it reads, in order."""

    layers: tuple[str, ...]

    @abstractmethod
    def statistics(self, layer: str, features: Features, window: Window) -> Tensor:
        """Return what adds up over positions; float32 or better."""

    @abstractmethod
    def loss(self, statistics: Mapping[str, Tensor]) -> Scalar:
        """Return the value of the statistics summed over the whole picture."""


class LocalObjective(Objective):
    """An objective that is itself a sum over positions: one pass gives its gradient."""

    @abstractmethod
    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        """Return this piece's share of the value."""

    def loss(self, statistics: Mapping[str, Tensor]) -> Scalar:
        return torch.stack(list(statistics.values())).sum()


class Energy(LocalObjective):
    """Half the mean square of whole layers, weighted: the classic dream.

    Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism".
    Differs: a mean, not a sum, so that weights compare layers of different size.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        count = window.positions * window.whole.channels
        return self._weights[layer] * features.square().sum() / (2 * count)


class Channels(LocalObjective):
    """Mean activation of some channels of some layers, weighted by layer.

    Source: Olah, Mordvintsev, Schubert 2017, "Feature Visualization" (channel objective).
    """

    def __init__(self, weights: Mapping[str, float], channels: Sequence[int]) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._channels = list(channels)

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        return self._weights[layer] * features[:, self._channels].sum() / window.positions


class Neurons(LocalObjective):
    """Activation of some channels at one place. y, x: fractions 0..1 of height and width."""

    def __init__(
        self, weights: Mapping[str, float], channels: Sequence[int], y: float, x: float
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._channels, self._y, self._x = list(channels), y, x

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        row = min(int(self._y * window.whole.rows), window.whole.rows - 1)
        column = min(int(self._x * window.whole.columns), window.whole.columns - 1)
        if not (row in window.rows and column in window.columns):
            return features.sum() * 0
        here = features[:, :, row - window.rows.start, column - window.columns.start]
        return self._weights[layer] * here[:, self._channels].sum()


class Classes(LocalObjective):
    """Sum of the unnormalised scores of some classes, weighted.

    Source: Simonyan, Vedaldi, Zisserman 2013, arXiv 1312.6034, equation 1 (without its penalty,
    which is not the network's).
    """

    layers = (HEAD,)

    def __init__(self, weights: Mapping[int, float]) -> None:
        self._classes, self._weights = list(weights), list(weights.values())

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:  # noqa: ARG002 - it has one layer
        scores = features[0, self._classes].sum((1, 2))
        return (scores * scores.new_tensor(self._weights)).sum() / window.positions


class Guide(LocalObjective):
    """Pull every position towards the guide's feature that matches it best.

    guides: the guide picture's features by layer. block: positions matched at once, so that
    memory stays bounded whatever the sizes. Source: Mordvintsev et al. 2015 (guided dream).
    """

    def __init__(
        self, weights: Mapping[str, float], guides: Mapping[str, Features], block: int = 4096
    ) -> None:
        self.layers, self._weights = tuple(weights), dict(weights)
        self._guides = {k: g[0].flatten(1).T.contiguous() for k, g in guides.items()}
        self._block = block

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        guide = self._guides[layer].to(features.dtype)
        here = features[0].flatten(1).T
        best = torch.cat(
            [(rows.detach() @ guide.T).argmax(1) for rows in torch.split(here, self._block)]
        )
        return self._weights[layer] * (here * guide[best]).sum() / window.positions


class Target(LocalObjective):
    """Minus half the mean squared distance to given features, which cover the whole layer.

    Source: Mahendran & Vedaldi 2014, arXiv 1412.0035, equation 2.
    Differs: normalised by the target's own energy summed over all layers, weighted.
    """

    def __init__(self, weights: Mapping[str, float], targets: Mapping[str, Features]) -> None:
        self.layers, self._weights, self._targets = tuple(weights), dict(weights), targets
        self._energies = {k: float(t.square().sum()) or 1.0 for k, t in targets.items()}

    def statistics(self, layer: str, features: Features, window: Window) -> Scalar:
        distance = (features - window.crop(self._targets[layer])).square().sum()
        return -self._weights[layer] * distance / (2 * self._energies[layer])
