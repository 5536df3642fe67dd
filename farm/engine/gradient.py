"""Exact gradients and features of pictures of any size, tile by tile.

The result is the whole picture's: each feature is computed from all the pixels it sees, belongs
to exactly one tile, and its pull on pixels that tiles share is added up, in a fixed order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.networks import Extractor, Shape
from farm.engine.objectives import Features, LocalObjective, Objective, Window
from farm.engine.tiles import Tile, grid, segments, whole

Image = Float[Tensor, "1 3 height width"]
Done = Callable[[int], None]
"""Hears, after each pass over a tile, how many pixels of other tiles it computed again."""


def nothing(_pixels: int) -> None:
    """Hear nothing."""


@dataclass(frozen=True)
class Layout:
    """The tiles of one picture for one extractor."""

    tiles: tuple[Tile, ...]
    shapes: Mapping[str, Shape]

    def window(self, tile: Tile, layer: str) -> Window:
        return Window(tile.vertical.owned[layer], tile.horizontal.owned[layer], self.shapes[layer])


def lay_out(extractor: Extractor, height: int, width: int, tile: int) -> Layout:
    """Cut a picture into tiles of so many pixels a side; 0 for one tile.

    Raises BadParameter when the picture is too small, or a layer sees all of it.
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
    done: Done = nothing,
) -> tuple[float, Image]:
    """Return the objective's value and its exact gradient with respect to the image.

    image: RGB in 0..1; its precision is that of the sums. objective: one, or several to add up.
    tile: pixels a side, 0 for whole.
    """
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    sought = _Sought(objective)
    if len(layout.tiles) == 1 or sought.is_local:
        return _one_pass(image, extractor, sought, layout, done)
    return _two_passes(image, extractor, sought, layout, done)


def statistics(
    image: Image, extractor: Extractor, objective: Objective, tile: int, done: Done = nothing
) -> dict[str, Tensor]:
    """Return the objective's statistics of the whole picture by layer, in float64."""
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    sums = _sum_up(image, extractor, _Sought(objective), layout, done)
    return {layer: found for (_, layer), found in sums.items()}


def features(
    image: Image, extractor: Extractor, tile: int, done: Done = nothing
) -> dict[str, Features]:
    """Return the whole picture's features by layer, computed tile by tile."""
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    maps = {
        layer: image.new_empty(1, s.channels, s.rows, s.columns)
        for layer, s in layout.shapes.items()
    }
    with torch.no_grad():
        for piece in layout.tiles:
            for layer, owned in _owned(_crop(image, piece), piece, extractor):
                layout.window(piece, layer).crop(maps[layer]).copy_(owned)
            done(piece.overlap_pixels)
    return maps


Key = tuple[int, str]
"""An objective's number and a layer."""


class _Sought:
    """Objectives that are added up."""

    def __init__(self, objective: Objective | Sequence[Objective]) -> None:
        self._parts = (objective,) if isinstance(objective, Objective) else tuple(objective)
        self.is_local = all(isinstance(part, LocalObjective) for part in self._parts)

    def statistics(
        self, crop: Image, tile: Tile, extractor: Extractor, layout: Layout
    ) -> Iterator[tuple[Key, Tensor]]:
        """Yield what the tile adds to the statistics."""
        for layer, owned in _owned(crop, tile, extractor):
            for number, part in enumerate(self._parts):
                if layer in part.layers:
                    yield (number, layer), part.statistics(layer, owned, layout.window(tile, layer))

    def loss(self, sums: Mapping[Key, Tensor]) -> Tensor:
        """Return the value of statistics; of those of one tile its share, where all is local."""
        values = [
            part.loss({layer: found for (n, layer), found in sums.items() if n == number})
            for number, part in enumerate(self._parts)
            if any(n == number for n, _ in sums)
        ]
        return torch.stack(values).sum()


def _one_pass(
    image: Image, extractor: Extractor, sought: _Sought, layout: Layout, done: Done
) -> tuple[float, Image]:
    """Pull back each tile's share of the value, or the whole value of the only tile."""
    value, total = 0.0, torch.zeros_like(image)
    for tile in layout.tiles:
        crop = _crop(image, tile).requires_grad_()
        found = sought.statistics(crop, tile, extractor, layout)
        share = sought.loss({key: added.double() for key, added in found})
        _crop(total, tile).add_(torch.autograd.grad(share, crop)[0])
        value += float(share.detach())
        done(tile.overlap_pixels)
    return value, total


def _two_passes(
    image: Image, extractor: Extractor, sought: _Sought, layout: Layout, done: Done
) -> tuple[float, Image]:
    """Sum the statistics, take the loss, and pull its cotangent back tile by tile."""
    sums = _sum_up(image, extractor, sought, layout, done)
    leaves = {key: found.requires_grad_() for key, found in sums.items()}
    loss = sought.loss(leaves)
    pulls = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
    total = torch.zeros_like(image)
    for tile in layout.tiles:
        crop = _crop(image, tile).requires_grad_()
        found = dict(sought.statistics(crop, tile, extractor, layout))
        slopes = torch.autograd.grad(
            list(found.values()), crop, [pulls[key].to(added.dtype) for key, added in found.items()]
        )
        _crop(total, tile).add_(slopes[0])
        done(tile.overlap_pixels)
    return float(loss.detach()), total


def _sum_up(
    image: Image, extractor: Extractor, sought: _Sought, layout: Layout, done: Done
) -> dict[Key, Tensor]:
    sums: dict[Key, Tensor] = {}
    with torch.no_grad():
        for tile in layout.tiles:
            for key, added in sought.statistics(_crop(image, tile), tile, extractor, layout):
                sums[key] = sums[key] + added if key in sums else added.double()
            done(tile.overlap_pixels)
    return sums


def _crop(image: Image, tile: Tile) -> Image:
    vertical, horizontal = tile.vertical.crop, tile.horizontal.crop
    return image[..., vertical.start : vertical.stop, horizontal.start : horizontal.stop].detach()


def _owned(crop: Image, tile: Tile, extractor: Extractor) -> Iterator[tuple[str, Features]]:
    """Yield the features that the tile owns, in float32 or better."""
    for layer, found in extractor(crop).items():
        if layer not in tile.vertical.owned or layer not in tile.horizontal.owned:
            continue
        top = tile.vertical.first[layer]
        left = tile.horizontal.first[layer]
        rows, columns = tile.vertical.owned[layer], tile.horizontal.owned[layer]
        piece = found[:, :, top : top + len(rows), left : left + len(columns)]
        yield layer, piece.to(crop.dtype)
