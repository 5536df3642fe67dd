"""From parameters to objectives: which layers, and what of styles and content is wanted there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

from torch import Tensor

from farm import BadInput, BadParameter, Context
from farm.engine import pyramid
from farm.engine.networks import Network
from farm.engine.objectives import Objective, Target
from farm.engine.style_statistics import Gaussian, Goal, Gram, Style, StyleDistance
from farm_style import colours
from farm_style.params import StyleParams, split_weight

LEAST: Final = 32
"""Pixels a side of the smallest style picture: below there is no texture to learn."""

Weights = dict[str, float]

USUAL: Final[tuple[tuple[Weights, Weights], ...]] = (
    (
        {"relu4_2": 1.0},
        {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0},
    ),
    (
        {"conv3": 1.0, "inception3b": 1.0},
        {"conv1": 1.0, "conv3": 1.0, "inception3b": 1.0, "inception4a": 1.0},
    ),
)
"""Layers of content and of style, for networks that have them: VGG's and GoogLeNet's.

Source of VGG's: Gatys, Ecker, Bethge 2016, "Image style transfer using convolutional neural
networks", section 3. GoogLeNet's: what looked best with the starter; kept at inception3b alone,
faces lose their eyes.
"""

KINDS: Final[Mapping[str, type[Goal]]] = {"gram": Gram, "w2": Gaussian}


@dataclass(frozen=True)
class Layers:
    """The weight of each layer, for content and for style; each adds up to 1."""

    content: Weights
    style: Weights


def layers(params: StyleParams, network: Network) -> Layers:
    """Return the layers asked for, or the network's usual ones. Raises BadParameter."""
    usual_ones = _known(network)
    content, style = (
        dict(split_weight(layer) for layer in given)
        for given in (params.content_layers, params.style_layers)
    )
    for name, given in (("style_layers", style), ("content_layers", content)):
        if usual_ones is None and not given:
            raise BadParameter(
                name,
                f"no usual ones are known for {network.name}; choose among "
                f"{', '.join(network.main_layers)}",
            )
    if usual_ones:
        content, style = content or usual_ones[0], style or usual_ones[1]
    return Layers(_shares(content), _shares(style))


def usual(network: Network) -> Layers:
    """Return the network's usual layers. Raises BadParameter where none are known."""
    known = _known(network)
    if known is None:
        raise BadParameter(
            "network",
            f"no usual layers of style are known for {network.name}; take starter or vgg19",
        )
    return Layers(_shares(known[0]), _shares(known[1]))


def _known(network: Network) -> tuple[Weights, Weights] | None:
    return next((u for u in USUAL if {*u[0], *u[1]} <= {*network.layers}), None)


def _shares(weights: Weights) -> Weights:
    return {name: weight / sum(weights.values()) for name, weight in weights.items()}


def check(params: StyleParams, context: Context) -> None:
    """Refuse unknown networks and layers, and pictures that cannot be used."""
    network = context.network(params.network, params.weights)
    wanted = layers(params, network)
    network.extractor((*wanted.content, *wanted.style))
    for path, _ in read_paths(params):
        read_style(path, context)
    for path in params.masks:
        _read_mask(path, context)
    if params.start not in ("content", "noise"):
        context.read(params.start)


def read_paths(params: StyleParams) -> list[tuple[str, float]]:
    """Return path and weight of each style picture."""
    return [split_weight(style) for style in params.styles]


def read_style(path: str, context: Context) -> Tensor:
    """Return a style picture. Raises BadInput where it is too small to have a texture."""
    picture = context.read(path)
    height, width = picture.shape[2:]
    if min(height, width) < LEAST:
        raise BadInput(
            path, f"{width}x{height} is too small for a style; take {LEAST}x{LEAST} pixels or more"
        )
    return picture


def _read_mask(path: str, context: Context) -> Tensor:
    mask = context.read(path).mean(dim=1, keepdim=True)
    if not mask.any():
        raise BadInput(path, "the mask is black everywhere, so its style acts nowhere; paint white")
    return mask


class StyleTargets:
    """What one transfer wants: the styles and masks as they are read, for any size of picture."""

    def __init__(
        self, content: Tensor, params: StyleParams, network: Network, context: Context
    ) -> None:
        self._content, self._params = content, params
        self._network, self._context = network, context
        self.layers = layers(params, network)
        self._styles = [
            (colours.prepare(read_style(path, context), content, params.keep_colours), weight)
            for path, weight in read_paths(params)
        ]
        self._masks = [_fitted(path, content, context) for path in params.masks]

    def objectives(self, content: Tensor) -> Sequence[Objective]:
        """Return what to climb at the size of this smaller version of the content."""
        found: list[Objective] = [self._style(content)]
        if self._params.content_weight:
            targets = {
                layer: self._context.features(content, self._network, layer)
                for layer in self.layers.content
            }
            # Target takes half the squared distance: the factor makes both relative alike.
            weights = {
                layer: 2 * self._params.content_weight * weight
                for layer, weight in self.layers.content.items()
            }
            found.append(Target(weights, targets))
        return found

    def _style(self, content: Tensor) -> StyleDistance:
        kind, weights = KINDS[self._params.statistic], self.layers.style
        probe = StyleDistance(kind, weights)
        styles = []
        for number, (picture, share) in enumerate(
            zip(self._styles, self._strengths(), strict=True)
        ):
            small = pyramid.resize(picture[0], *self._size(picture[0], content))
            sums = self._context.statistics(small, self._network, probe)
            goals = {layer: kind(found[0]) for layer, found in sums.items()}
            mask = self._masks[number] if self._masks else None
            styles.append(Style(goals, self._params.style_weight * share, mask))
        return StyleDistance(kind, weights, styles)

    def _strengths(self) -> list[float]:
        """Return each style's share; a masked one counts by its area, like the content there."""
        if self._masks:
            areas = [self._context.mean(mask) for mask in self._masks]
            return [w * area for (_, w), area in zip(self._styles, areas, strict=True)]
        total = sum(weight for _, weight in self._styles)
        return [weight / total for _, weight in self._styles]

    def _size(self, style: Tensor, content: Tensor) -> tuple[int, int]:
        """Return height and width that give a style the content's area, times the style scale."""
        pixels = content.shape[2] * content.shape[3]
        ratio = self._params.style_scale * sqrt(pixels / (style.shape[2] * style.shape[3]))
        return max(LEAST, round(style.shape[2] * ratio)), max(LEAST, round(style.shape[3] * ratio))


def _fitted(path: str, content: Tensor, context: Context) -> Tensor:
    """Return a mask at the content's size. Raises BadInput where it has another shape."""
    mask = _read_mask(path, context)
    (height, width), (rows, columns) = content.shape[2:], mask.shape[2:]
    # A side that was rounded to whole pixels may be half a pixel off, at the smaller size.
    if abs(columns * height - rows * width) > max(min(height, rows), min(width, columns)):
        raise BadInput(
            path,
            f"the mask is {columns}x{rows}, of another shape than the picture's {width}x{height}; "
            "crop it to that",
        )
    return pyramid.resize(mask, height, width)
