"""Apply picture-to-picture networks tile by tile, with the same result as on the whole picture.

What an output pixel depends on is measured with NaN, as it is for features (see reach). Networks
that downscale and upscale treat pixels by their position on a grid; the grid's period is measured
too, and tiles start on it.
"""

from collections.abc import Callable
from functools import cache
from math import ceil
from typing import Final
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from farm.engine.gradient import OnTile, ignore_tile
from farm.engine.tiles import Reach, Segment, Tile, grid, segments
from farm.engine.world import ALONE, World
from farm.errors import BadParameter, PluginError

Image = Float[Tensor, "1 channels height width"]
Output = Float[Tensor, "1 out_channels height width"]

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
    on_tile: OnTile = ignore_tile,
    on_progress: Callable[[float], None] = lambda _fraction: None,
    world: World = ALONE,
) -> Output:
    """Return the module's output for the whole picture, at the same height and width.

    tile: pixels per side, 0 for the whole picture. on_progress: called before on_tile, with the
    fraction of the tiles done. world: as for gradients.

    Raises PluginError if the module changes the size; BadParameter if tiles cannot be exact
    because a pixel depends on all others, as with an instance norm that is not frozen.
    """
    height, width = image.shape[2:]
    if tile == 0 or tile >= max(height, width):
        whole = _run(module, image)
        on_progress(1.0)
        on_tile(0)
        return whole
    if module not in _measured:
        _measured[module] = measure(module, image)
    rows, columns = _measured[module]

    def compute(piece: Tile) -> dict[str, Tensor]:
        crop_rows, _, inner_rows = _slices(piece.vertical, rows, height)
        crop_columns, _, inner_columns = _slices(piece.horizontal, columns, width)
        output = _run(module, image[..., crop_rows, crop_columns])
        return {"owned": output[..., inner_rows, inner_columns].contiguous()}

    output: Tensor | None = None
    pieces = tuple(grid(_cut(height, tile, rows), _cut(width, tile, columns)))
    for number, (piece, computed) in enumerate(world.deal(pieces, compute), start=1):
        owned = computed["owned"]
        if output is None:
            output = owned.new_empty(1, owned.shape[1], height, width)
        _, owned_rows, _ = _slices(piece.vertical, rows, height)
        _, owned_columns, _ = _slices(piece.horizontal, columns, width)
        output[..., owned_rows, owned_columns] = owned
        on_progress(number / len(pieces))
        on_tile(piece.overlap_pixels)
    assert output is not None
    return output


def _run(module: nn.Module, image: Image) -> Output:
    output = module(image)
    if not isinstance(output, Tensor) or output.shape[2:] != image.shape[2:]:
        shape = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise PluginError(
            type(module).__name__,
            f"returned {shape} for a picture of {list(image.shape)}; "
            "a module passed to apply must keep height and width",
        )
    return output


def _cut(length: int, tile: int, reach: Reach) -> tuple[Segment, ...]:
    return segments(length, tile, {_BLOCK: reach}, {_BLOCK: ceil(length / reach.stride)})


def _slices(segment: Segment, reach: Reach, length: int) -> tuple[slice, slice, slice]:
    """Return the crop, the owned pixels, and the owned pixels relative to the crop."""
    owned, first = segment.owned[_BLOCK], segment.first[_BLOCK] * reach.stride
    start, stop = owned.start * reach.stride, min(owned.stop * reach.stride, length)
    crop = slice(segment.crop.start, segment.crop.stop)
    return crop, slice(start, stop), slice(first, first + stop - start)


@torch.no_grad()
def measure(module: nn.Module, like: Image) -> tuple[Reach, Reach]:
    """Return the reach of a block of pixels along rows and columns; its stride is the period.

    like: a picture with the channels, precision and device to use. Raises BadParameter.
    """
    return _measure_axis(module, like, 2), _measure_axis(module, like, 3)


def _measure_axis(module: nn.Module, like: Image, axis: int) -> Reach:
    for extent in _EXTENTS:
        reach = _measure_within(module, like, axis, extent)
        if reach:
            return reach
    raise BadParameter(
        "tile",
        f"each pixel of {type(module).__name__} depends on the whole picture; "
        "freeze its normalisation layers, or use --tile none",
    )


def _measure_within(module: nn.Module, like: Image, axis: int, extent: int) -> Reach | None:
    """Return the reach along an axis, or None if it does not fit into extent pixels."""
    middle = extent // 2

    @cache
    def nan_span(start: int, stop: int) -> tuple[int, int]:
        sides = (extent, _STRIP) if axis == 2 else (_STRIP, extent)
        picture = like.new_zeros(1, like.shape[1], *sides)
        picture.narrow(axis, start, stop - start).fill_(torch.nan)
        marks = _run(module, picture).isnan().any(dim=1)[0].any(dim=3 - axis).nonzero()
        return (int(marks[0]), int(marks[-1])) if len(marks) else (extent, -1)

    def before(row: int) -> int:
        """Return how far NaN that starts at a row spreads before it."""
        return row - nan_span(row, extent)[0]

    def after(row: int) -> int:
        """Return how far NaN that ends at a row spreads after it."""
        return nan_span(0, row + 1)[1] - row

    for period in _PERIODS:
        block, next_block = (range(middle + k, middle + k + period) for k in (0, period))
        if any(
            spread(a) != spread(b)
            for a, b in zip(block, next_block, strict=True)
            for spread in (before, after)
        ):
            continue
        last, first = max(map(before, block)), max(map(after, block))
        if max(last, first) + 2 * period + _MARGIN < middle:
            return Reach(period, -first, last + period - 1)
    return None
