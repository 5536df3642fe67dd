"""Exact gradients and features of pictures of any size, tile by tile.

The result is the whole picture's: each feature is computed from all the pixels it sees, belongs
to exactly one tile, and its pull on pixels that tiles share is added up, in a fixed order. Where
several workers share the picture each one computes some of the tiles, and hears of the others.
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
    *,
    done: Done = nothing,
    world: World = ALONE,
) -> tuple[float, Image]:
    """Return the objective's value and its exact gradient with respect to the image.

    image: RGB in 0..1; its precision is that of the sums. objective: one, or several to add up.
    tile: pixels a side, 0 for whole. world: the workers that give the same image, and get the same.
    """
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    search = _Search(image, extractor, _Sought(objective), layout, done, world)
    if len(layout.tiles) == 1 or search.sought.is_local:
        return search.one_pass()
    return search.two_passes()


def statistics(
    image: Image,
    extractor: Extractor,
    objective: Objective,
    tile: int,
    *,
    done: Done = nothing,
    world: World = ALONE,
) -> dict[str, Tensor]:
    """Return the objective's statistics of the whole picture by layer, in float64."""
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    sums = _Search(image, extractor, _Sought(objective), layout, done, world).sum_up()
    return {layer: found for (_, layer), found in sums.items()}


def features(
    image: Image, extractor: Extractor, tile: int, *, done: Done = nothing, world: World = ALONE
) -> dict[str, Features]:
    """Return the whole picture's features by layer, computed tile by tile."""
    layout = lay_out(extractor, image.shape[2], image.shape[3], tile)
    maps = {
        layer: image.new_empty(1, s.channels, s.rows, s.columns)
        for layer, s in layout.shapes.items()
    }

    def see(piece: Tile) -> dict[str, Features]:
        with torch.no_grad():
            return dict(_owned(_crop(image, piece), piece, extractor))

    for piece, seen in world.deal(layout.tiles, see):
        for layer, owned in seen.items():
            layout.window(piece, layer).crop(maps[layer]).copy_(owned)
        done(piece.overlap_pixels)
    return maps


Name = TypeVar("Name")
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


@dataclass(frozen=True)
class _Search:
    """One look at one picture for what is sought, tile by tile."""

    image: Image
    extractor: Extractor
    sought: _Sought
    layout: Layout
    done: Done
    world: World

    def one_pass(self) -> tuple[float, Image]:
        """Pull back each tile's share of the value, or the whole value of the only tile."""

        def pull(tile: Tile) -> dict[str, Tensor]:
            crop = _crop(self.image, tile).requires_grad_()
            found = self._statistics(crop, tile)
            share = self.sought.loss({key: added.double() for key, added in found})
            return {"share": share.detach(), "slopes": torch.autograd.grad(share, crop)[0]}

        value, total = 0.0, torch.zeros_like(self.image)
        for tile, pulled in self._deal(pull):
            _crop(total, tile).add_(pulled["slopes"])
            value += float(pulled["share"])
        return value, total

    def two_passes(self) -> tuple[float, Image]:
        """Sum the statistics, take the loss, and pull its cotangent back tile by tile."""
        leaves = {key: found.requires_grad_() for key, found in self.sum_up().items()}
        loss = self.sought.loss(leaves)
        pulls = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

        def pull(tile: Tile) -> dict[str, Tensor]:
            crop = _crop(self.image, tile).requires_grad_()
            found = dict(self._statistics(crop, tile))
            along = [pulls[key].to(added.dtype) for key, added in found.items()]
            return {"slopes": torch.autograd.grad(list(found.values()), crop, along)[0]}

        total = torch.zeros_like(self.image)
        for tile, pulled in self._deal(pull):
            _crop(total, tile).add_(pulled["slopes"])
        return float(loss.detach()), total

    def sum_up(self) -> dict[Key, Tensor]:
        """Return the statistics of the whole picture, in float64."""

        def see(tile: Tile) -> dict[Key, Tensor]:
            with torch.no_grad():
                return dict(self._statistics(_crop(self.image, tile), tile))

        sums: dict[Key, Tensor] = {}
        for _, seen in self._deal(see):
            for key, added in seen.items():
                sums[key] = sums[key] + added if key in sums else added.double()
        return sums

    def _statistics(self, crop: Image, tile: Tile) -> Iterator[tuple[Key, Tensor]]:
        return self.sought.statistics(crop, tile, self.extractor, self.layout)

    def _deal(
        self, make: Callable[[Tile], dict[Name, Tensor]]
    ) -> Iterator[tuple[Tile, Mapping[Name, Tensor]]]:
        for tile, made in self.world.deal(self.layout.tiles, make):
            yield tile, made
            self.done(tile.overlap_pixels)


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
