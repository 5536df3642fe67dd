"""Networks from picture to picture, tile by tile: the same picture as in one piece.

What an output pixel depends on is measured, as it is for features (see reach): NaN goes in, and
where it comes out says how far it was carried. Networks that shrink and grow again treat pixels by
their place on a grid; its period is measured too, and tiles start on it.
"""

from collections.abc import Callable
from functools import cache
from math import ceil
from typing import Final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from farm.engine.gradient import Done, nothing
from farm.engine.tiles import Reach, Segment, Tile, grid, segments
from farm.engine.world import ALONE, World
from farm.errors import BadParameter, PluginError

Image = Float[Tensor, "1 channels height width"]
Share = Callable[[float], None]

_EXTENTS: Final = (160, 320, 640, 1280)
_STRIP: Final = 32
_PERIODS: Final = (1, 2, 4, 8, 16, 32)
_MARGIN: Final = 2
_BLOCK: Final = "block"

_measured: WeakKeyDictionary[nn.Module, tuple[Reach, Reach]] = WeakKeyDictionary()


@torch.no_grad()
def apply(
    module: nn.Module,
    image: Image,
    tile: int,
    *,
    done: Done = nothing,
    share: Share = lambda _: None,
    world: World = ALONE,
) -> Image:
    """Return what the module makes of the whole picture, at the same height and width.

    tile: pixels a side, 0 for whole. done: hears of each tile. share: hears before what share of
    the picture is there with it. world: as for gradients.

    Raises PluginError where the module gives another size; BadParameter where tiles cannot be
    exact since a pixel depends on all others, as with an instance norm that is not frozen.
    """
    height, width = image.shape[2:]
    if tile == 0 or tile >= max(height, width):
        made = _run(module, image)
        share(1.0)
        done(0)
        return made
    if module not in _measured:
        _measured[module] = measure(module, image)
    rows, columns = _measured[module]

    def paint(piece: Tile) -> dict[str, Tensor]:
        down, _, inner_rows = _slices(piece.vertical, rows, height)
        right, _, inner_columns = _slices(piece.horizontal, columns, width)
        made = _run(module, image[..., down, right])
        return {"own": made[..., inner_rows, inner_columns].contiguous()}

    painted: Tensor | None = None
    pieces = tuple(grid(_cut(height, tile, rows), _cut(width, tile, columns)))
    for number, (piece, told) in enumerate(world.deal(pieces, paint), start=1):
        own = told["own"]
        if painted is None:
            painted = own.new_empty(1, own.shape[1], height, width)
        _, own_rows, _ = _slices(piece.vertical, rows, height)
        _, own_columns, _ = _slices(piece.horizontal, columns, width)
        painted[..., own_rows, own_columns] = own
        share(number / len(pieces))
        done(piece.overlap_pixels)
    assert painted is not None
    return painted


def _run(module: nn.Module, image: Image) -> Image:
    made = module(image)
    if not isinstance(made, Tensor) or made.shape[2:] != image.shape[2:]:
        given = list(made.shape) if isinstance(made, Tensor) else type(made).__name__
        raise PluginError(
            type(module).__name__,
            f"gave {given} for a picture of {list(image.shape)}; apply takes modules that keep "
            "height and width",
        )
    return made


def _cut(length: int, tile: int, reach: Reach) -> tuple[Segment, ...]:
    return segments(length, tile, {_BLOCK: reach}, {_BLOCK: ceil(length / reach.stride)})


def _slices(segment: Segment, reach: Reach, length: int) -> tuple[slice, slice, slice]:
    """Return the crop, the pixels that are owned, and where these are in the crop."""
    owned, first = segment.owned[_BLOCK], segment.first[_BLOCK] * reach.stride
    start, stop = owned.start * reach.stride, min(owned.stop * reach.stride, length)
    crop = slice(segment.crop.start, segment.crop.stop)
    return crop, slice(start, stop), slice(first, first + stop - start)


@torch.no_grad()
def measure(module: nn.Module, like: Image) -> tuple[Reach, Reach]:
    """Return what a block of pixels depends on along rows and columns; stride: the period.

    like: gives channels, precision and device. Raises BadParameter.
    """
    return _measure_axis(module, like, 2), _measure_axis(module, like, 3)


def _measure_axis(module: nn.Module, like: Image, axis: int) -> Reach:
    for extent in _EXTENTS:
        reach = _measure_within(module, like, axis, extent)
        if reach:
            return reach
    raise BadParameter(
        "tile",
        f"each pixel of {type(module).__name__} depends on the whole picture; freeze what it takes "
        "from all of it (norms), or use --tile none",
    )


def _measure_within(module: nn.Module, like: Image, axis: int, extent: int) -> Reach | None:
    """Return the reach along an axis; None where so many pixels are too few to tell."""
    middle = extent // 2

    @cache
    def spread(start: int, stop: int) -> tuple[int, int]:
        sides = (extent, _STRIP) if axis == 2 else (_STRIP, extent)
        picture = like.new_zeros(1, like.shape[1], *sides)
        picture.narrow(axis, start, stop - start).fill_(torch.nan)
        marks = _run(module, picture).isnan().any(dim=1)[0].any(dim=3 - axis).nonzero()
        return (int(marks[0]), int(marks[-1])) if len(marks) else (extent, -1)

    def ahead(row: int) -> int:
        """Return how far before a row NaN begins to show when it starts there."""
        return row - spread(row, extent)[0]

    def behind(row: int) -> int:
        """Return how far after a row NaN still shows when it ends there."""
        return spread(0, row + 1)[1] - row

    for period in _PERIODS:
        block, next_block = (range(middle + k, middle + k + period) for k in (0, period))
        if any(
            far(a) != far(b)
            for a, b in zip(block, next_block, strict=True)
            for far in (ahead, behind)
        ):
            continue
        last, first = max(map(ahead, block)), max(map(behind, block))
        if max(last, first) + 2 * period + _MARGIN < middle:
            return Reach(period, -first, last + period - 1)
    return None
