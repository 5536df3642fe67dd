"""Exact gradients and features of pictures of any size, computed tile by tile.

The result is that of the whole picture: each feature is computed from all the pixels it sees and
belongs to exactly one tile, and gradients of pixels that tiles share are added in a fixed order.
Workers that share a picture each compute some of its tiles and exchange the results.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.networks import Extractor, Shape
from farm.engine.objectives import Features, LocalObjective, Objective, Window
from farm.engine.tiles import Tile, grid, segments, whole
from farm.engine.world import ALONE, World

Image = Float[Tensor, "1 3 height width"]
Crop = Float[Tensor, "1 3 crop_height crop_width"]
OnTile = Callable[[int], None]
"""Called after each pass over a tile, with the number of pixels it shares with other tiles."""


def ignore_tile(_overlap_pixels: int) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Layout:
    """The tiles of one picture for one extractor."""

    tiles: tuple[Tile, ...]
    shapes: Mapping[str, Shape]

    def window(self, tile: Tile, layer: str) -> Window:
        return Window(tile.vertical.owned[layer], tile.horizontal.owned[layer], self.shapes[layer])


def lay_out(extractor: Extractor, height: int, width: int, tile: int) -> Layout:
    """Cut a picture into tiles of at most tile pixels per side; 0 gives one tile.

    Raises BadParameter if the picture is too small, or a layer depends on all of it.
    """
    shapes = extractor.shapes(height, width)
    rows = {layer: s.rows for layer, s in shapes.items()}
    columns = {layer: s.columns for layer, s in shapes.items()}
    if tile == 0 or tile >= max(height, width):
        tiles = grid(whole(height, rows), whole(width, columns))
    else:
        vertical = {layer: r[0] for layer, r in extractor.reach.items()}
        horizontal = {layer: r[1] for layer, r in extractor.reach.items()}
        tiles = grid(
            segments(height, tile, vertical, rows), segments(width, tile, horizontal, columns)
        )
    return Layout(tuple(tiles), shapes)


@torch.enable_grad()
def gradient(
    image: Image,
    extractor: Extractor,
    objective: Objective | Sequence[Objective],
    tile: int,
    *,
    on_tile: OnTile = ignore_tile,
    world: World = ALONE,
) -> tuple[float, Image]:
    """Return the objective's value and its exact gradient with respect to the image.

    image: RGB in 0..1; sums have its precision. objective: one, or several to add up. tile:
    pixels per side, 0 for the whole picture. world: the workers that share the picture; all pass
    the same image and get the same result.
    """
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    evaluation = _Evaluation(image, extractor, _ObjectiveSum(objective), layout, on_tile, world)
    if len(layout.tiles) == 1 or evaluation.objective.is_local:
        return evaluation.one_pass()
    return evaluation.two_passes()


def statistics(
    image: Image,
    extractor: Extractor,
    objective: Objective,
    tile: int,
    *,
    on_tile: OnTile = ignore_tile,
    world: World = ALONE,
) -> dict[str, Tensor]:
    """Return the objective's statistics of the whole picture by layer, in float64."""
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    evaluation = _Evaluation(image, extractor, _ObjectiveSum(objective), layout, on_tile, world)
    return {layer: sums for (_, layer), sums in evaluation.sum_statistics().items()}


def features(
    image: Image,
    extractor: Extractor,
    tile: int,
    *,
    on_tile: OnTile = ignore_tile,
    world: World = ALONE,
) -> dict[str, Tensor]:
    """Return the whole picture's features by layer, computed tile by tile."""
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    maps = {
        layer: torch.empty(
            (1, s.channels, s.rows, s.columns),
            dtype=image.dtype,
            device=image.device,
            memory_format=torch.channels_last,  # as the network's, or their difference is slow
        )
        for layer, s in layout.shapes.items()
    }

    def compute(piece: Tile) -> dict[str, Tensor]:
        with torch.no_grad():
            return dict(_owned_features(_crop(image, piece), piece, extractor))

    for piece, computed in world.deal(layout.tiles, compute):
        for layer, owned in computed.items():
            layout.window(piece, layer).crop(maps[layer]).copy_(owned)
        on_tile(piece.overlap_pixels)
    return maps


Name = TypeVar("Name")
Key = tuple[int, str]
"""The index of an objective, and a layer."""


class _ObjectiveSum:
    """The sum of one or more objectives."""

    def __init__(self, objective: Objective | Sequence[Objective]) -> None:
        self._parts = (objective,) if isinstance(objective, Objective) else tuple(objective)
        self.is_local = all(isinstance(part, LocalObjective) for part in self._parts)

    def statistics(
        self, crop: Crop, tile: Tile, extractor: Extractor, layout: Layout
    ) -> Iterator[tuple[Key, Tensor]]:
        """Yield the tile's part of the statistics."""
        for layer, owned in _owned_features(crop, tile, extractor):
            for index, part in enumerate(self._parts):
                if layer in part.layers:
                    yield (index, layer), part.statistics(layer, owned, layout.window(tile, layer))

    def loss(self, sums: Mapping[Key, Tensor]) -> Tensor:
        """Return the value of the statistics; local objectives also accept those of one tile."""
        values = [
            part.loss({layer: total for (i, layer), total in sums.items() if i == index})
            for index, part in enumerate(self._parts)
            if any(i == index for i, _ in sums)
        ]
        return torch.stack(values).sum()


@dataclass(frozen=True)
class _Evaluation:
    """The evaluation of objectives on one picture, tile by tile."""

    image: Image
    extractor: Extractor
    objective: _ObjectiveSum
    layout: Layout
    on_tile: OnTile
    world: World

    def one_pass(self) -> tuple[float, Image]:
        """Differentiate each tile's part of the value, or the whole value of the only tile."""

        def compute(tile: Tile) -> dict[str, Tensor]:
            crop = _crop(self.image, tile).requires_grad_()
            parts = self._statistics(crop, tile)
            value = self.objective.loss({key: part.double() for key, part in parts})
            return {"value": value.detach(), "gradient": torch.autograd.grad(value, crop)[0]}

        value, total = 0.0, torch.zeros_like(self.image)
        for tile, computed in self._deal(compute):
            _crop(total, tile).add_(computed["gradient"])
            value += float(computed["value"])
        return value, total

    def two_passes(self) -> tuple[float, Image]:
        """Sum the statistics, then backpropagate the loss through them tile by tile."""
        sums = {key: total.requires_grad_() for key, total in self.sum_statistics().items()}
        loss = self.objective.loss(sums)
        outer = dict(zip(sums, torch.autograd.grad(loss, list(sums.values())), strict=True))

        def compute(tile: Tile) -> dict[str, Tensor]:
            crop = _crop(self.image, tile).requires_grad_()
            parts = dict(self._statistics(crop, tile))
            weights = [outer[key].to(part.dtype) for key, part in parts.items()]
            return {"gradient": torch.autograd.grad(list(parts.values()), crop, weights)[0]}

        total = torch.zeros_like(self.image)
        for tile, computed in self._deal(compute):
            _crop(total, tile).add_(computed["gradient"])
        return float(loss.detach()), total

    def sum_statistics(self) -> dict[Key, Tensor]:
        """Return the statistics of the whole picture, in float64."""

        def compute(tile: Tile) -> dict[Key, Tensor]:
            with torch.no_grad():
                return dict(self._statistics(_crop(self.image, tile), tile))

        sums: dict[Key, Tensor] = {}
        for _, computed in self._deal(compute):
            for key, part in computed.items():
                sums[key] = sums[key] + part if key in sums else part.double()
        return sums

    def _statistics(self, crop: Crop, tile: Tile) -> Iterator[tuple[Key, Tensor]]:
        return self.objective.statistics(crop, tile, self.extractor, self.layout)

    def _deal(
        self, compute: Callable[[Tile], dict[Name, Tensor]]
    ) -> Iterator[tuple[Tile, Mapping[Name, Tensor]]]:
        for tile, computed in self.world.deal(self.layout.tiles, compute):
            yield tile, computed
            self.on_tile(tile.overlap_pixels)


def _crop(image: Image, tile: Tile) -> Crop:
    vertical, horizontal = tile.vertical.crop, tile.horizontal.crop
    return image[..., vertical.start : vertical.stop, horizontal.start : horizontal.stop].detach()


def _owned_features(crop: Crop, tile: Tile, extractor: Extractor) -> Iterator[tuple[str, Features]]:
    """Yield the features that the tile owns by layer, in the crop's precision."""
    for layer, computed in extractor(crop).items():
        if layer not in tile.vertical.owned or layer not in tile.horizontal.owned:
            continue
        top = tile.vertical.first[layer]
        left = tile.horizontal.first[layer]
        rows, columns = tile.vertical.owned[layer], tile.horizontal.owned[layer]
        piece = computed[:, :, top : top + len(rows), left : left + len(columns)]
        yield layer, piece.to(crop.dtype)
