"""Build the objectives of a style transfer: the layers, and their style and content targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from torch import Tensor

from farm import BadInput, BadParameter, Context
from farm.engine import pyramid
from farm.engine.masks import fit_mask, read_mask
from farm.engine.networks import Network
from farm.engine.objectives import Objective, Target
from farm.engine.style_statistics import Gaussian, Goal, Gram, Style, StyleDistance
from farm_style import colours
from farm_style.params import StyleParams, split_weight

SMALLEST: Final = 32
"""Least pixels per side of a style picture; smaller ones have no texture to match."""

Weights = dict[str, float]

DEFAULTS: Final[tuple[tuple[Weights, Weights], ...]] = (
    (
        {"relu4_2": 1.0},
        {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0},
    ),
    (
        {"conv3": 1.0, "inception3b": 1.0},
        {"conv1": 1.0, "conv3": 1.0, "inception3b": 1.0, "inception4a": 1.0},
    ),
)
"""Default layers of content and style, for VGG and for GoogLeNet.

Source for VGG: Gatys, Ecker, Bethge 2016, "Image style transfer using convolutional neural
networks", section 3. GoogLeNet's are chosen by eye with the starter: with inception3b as the only
content layer, faces lose their eyes.
"""

KINDS: Final[Mapping[str, type[Goal]]] = {"gram": Gram, "w2": Gaussian}


@dataclass(frozen=True)
class Layers:
    """The weight of each layer, for content and for style. Each set adds up to 1."""

    content: Weights
    style: Weights


def layers(params: StyleParams, network: Network) -> Layers:
    """Return the layers of the parameters, or the network's defaults. Raises BadParameter."""
    defaults = _defaults(network)
    content, style = (
        dict(split_weight(layer) for layer in names)
        for names in (params.content_layers, params.style_layers)
    )
    for field, weights in (("style_layers", style), ("content_layers", content)):
        if defaults is None and not weights:
            raise BadParameter(
                field,
                f"{network.name} has no default layers; choose from {', '.join(network.main_layers)}",
            )
    if defaults:
        content, style = content or defaults[0], style or defaults[1]
    return Layers(_shares(content), _shares(style))


def default_layers(network: Network) -> Layers:
    """Return the network's default layers. Raises BadParameter if it has none."""
    defaults = _defaults(network)
    if defaults is None:
        raise BadParameter(
            "network",
            f"{network.name} has no default style layers; use starter or vgg19",
        )
    return Layers(_shares(defaults[0]), _shares(defaults[1]))


def _defaults(network: Network) -> tuple[Weights, Weights] | None:
    return next((pair for pair in DEFAULTS if {*pair[0], *pair[1]} <= {*network.layers}), None)


def _shares(weights: Weights) -> Weights:
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def check(params: StyleParams, context: Context) -> None:
    """Refuse unknown networks and layers, and unusable pictures."""
    network = context.network(params.network, params.weights)
    chosen = layers(params, network)
    network.extractor((*chosen.content, *chosen.style))
    for path, _ in params.style_weights():
        read_style(path, context)
    for path in params.masks:
        read_mask(path, context.read(path))
    if params.start not in ("content", "noise"):
        context.read(params.start)


def read_style(path: str, context: Context) -> Tensor:
    """Return a style picture. Raises BadInput if it is too small to have a texture."""
    picture = context.read(path)
    height, width = picture.shape[2:]
    if min(height, width) < SMALLEST:
        raise BadInput(
            path,
            f"{width}x{height} is too small for a style picture; use at least "
            f"{SMALLEST}x{SMALLEST} pixels",
        )
    return picture


class StyleTargets:
    """The style pictures and masks of one transfer, and the objectives they give at any size."""

    def __init__(
        self, content: Tensor, params: StyleParams, network: Network, context: Context
    ) -> None:
        self._content, self._params = content, params
        self._network, self._context = network, context
        self.layers = layers(params, network)
        self._styles = [
            (colours.prepare(read_style(path, context), content, params.keep_colours), weight)
            for path, weight in params.style_weights()
        ]
        self._masks = [
            fit_mask(path, read_mask(path, context.read(path)), *content.shape[2:])
            for path in params.masks
        ]

    def objectives(self, content: Tensor) -> Sequence[Objective]:
        """Return the objectives at the size of this smaller version of the content."""
        objectives: list[Objective] = [self._style(content)]
        if self._params.content_weight:
            targets = {
                layer: self._context.features(content, self._network, layer)
                for layer in self.layers.content
            }
            # Target is half the squared distance; the factor 2 matches the scale of the style.
            weights = {
                layer: 2 * self._params.content_weight / self._params.strength * weight
                for layer, weight in self.layers.content.items()
            }
            objectives.append(Target(weights, targets))
        return objectives

    def _style(self, content: Tensor) -> StyleDistance:
        kind, weights = KINDS[self._params.statistic], self.layers.style
        probe = StyleDistance(kind, weights)
        styles = []
        for number, (picture, share) in enumerate(
            zip(self._styles, self._strengths(), strict=True)
        ):
            small = pyramid.resize(picture[0], *self._size(picture[0], content))
            sums = self._context.statistics(small, self._network, probe)
            goals = {layer: kind(total[0]) for layer, total in sums.items()}
            mask = self._masks[number] if self._masks else None
            strength = self._params.style_weight * self._params.strength
            styles.append(Style(goals, strength * share, mask))
        return StyleDistance(kind, weights, styles)

    def _strengths(self) -> list[float]:
        """Return the share of each style. Masks scale it by their area, like the content there."""
        if self._masks:
            areas = [self._context.mean(mask) for mask in self._masks]
            return [w * area for (_, w), area in zip(self._styles, areas, strict=True)]
        total = sum(weight for _, weight in self._styles)
        return [weight / total for _, weight in self._styles]

    def _size(self, style: Tensor, content: Tensor) -> tuple[int, int]:
        """Return the height and width that give a style picture the content's area, scaled."""
        pixels = content.shape[2] * content.shape[3]
        ratio = self._params.style_scale * sqrt(pixels / (style.shape[2] * style.shape[3]))
        height, width = (max(SMALLEST, round(side * ratio)) for side in style.shape[2:])
        return height, width
