"""Measure which pixels a layer's features depend on, by putting NaN into the picture.

A feature becomes NaN exactly if it depends on a NaN pixel, whatever the weights, branches and
padding. So the reach is measured on the network itself and needs no table.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from farm.engine.one_core import on_one_core
from farm.engine.tiles import Reach
from farm.errors import BadParameter

Extract = Callable[[Tensor], Mapping[str, Tensor]]

_EXTENTS = (384, 768, 1536, 3072, 6144)
_WIDTHS = (32, 64, 96, 128, 192, 256)
_MARGIN = 2


def measure(extract: Extract) -> dict[str, tuple[Reach, Reach]]:
    """Return each layer's reach along rows and along columns.

    extract: float32 function on the CPU from [1, 3, height, width] to features by layer.
    Raises BadParameter if a layer depends on the whole picture, so that tiles cannot be exact.
    """

    def measure_both() -> list[dict[str, Reach]]:
        return [_measure_axis(extract, axis) for axis in (2, 3)]

    rows, columns = on_one_core(measure_both)  # the strips are small, so more cores are slower
    return {layer: (rows[layer], columns[layer]) for layer in rows}


class Thin(fx.Interpreter):
    """Run a graph with one channel per convolution: NaN spreads the same way, but much faster.

    Raises RuntimeError if a layer requires its number of channels.
    """

    def call_module(self, target: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert isinstance(target, str)
        return self._thin(self.fetch_attr(target), args, kwargs)

    def _thin(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        match module:
            case nn.Sequential():
                (value,) = args
                for child in module:
                    value = self._thin(child, (value,), {})
                return value
            case nn.Conv2d(padding_mode="zeros"):
                image = args[0].sum(dim=1, keepdim=True)
                kernel = image.new_ones(1, 1, *module.kernel_size)
                return F.conv2d(image, kernel, None, module.stride, module.padding, module.dilation)
            case nn.BatchNorm2d():
                return args[0]
        return module(*args, **kwargs)


def _measure_axis(extract: Extract, axis: int) -> dict[str, Reach]:
    for extent in _EXTENTS:
        probe = _NanProbe(extract, axis, extent)
        if not probe.layers_that_do_not_fit():
            return {layer: probe.reach(layer) for layer in probe.layers}
    names = probe.layers_that_do_not_fit()
    subject = (
        f"layer {names[0]} depends" if len(names) == 1 else f"layers {', '.join(names)} depend"
    )
    raise BadParameter("tile", f"{subject} on the whole picture; use --tile none")


class _NanProbe:
    """Runs pictures with NaN in some of their rows or columns, each picture once."""

    def __init__(self, extract: Extract, axis: int, extent: int) -> None:
        self.axis, self.extent = axis, extent
        self._run = partial(_run_smallest, extract, axis, extent)
        self._spans: dict[tuple[int, int], dict[str, tuple[int, int, int]]] = {}
        self._middle = extent // 2
        self.layers = tuple(self._nan_from(self._middle))

    def layers_that_do_not_fit(self) -> list[str]:
        """Return the layers whose reach is larger than the probe."""
        step = self.extent // 4
        after, before = self._nan_from(self._middle), self._nan_until(self._middle)
        moved = self._nan_from(self._middle + step)
        return [
            layer
            for layer in self.layers
            if after[layer][0] < _MARGIN
            or before[layer][1] >= before[layer][2] - _MARGIN
            or moved[layer][0] >= moved[layer][2]
            or moved[layer][0] == after[layer][0]
        ]

    def reach(self, layer: str) -> Reach:
        step = self.extent // 4
        first = self._nan_from(self._middle)[layer][0]
        moved = self._nan_from(self._middle + step)[layer][0]
        stride, remainder = divmod(step, moved - first)
        if remainder:
            raise BadParameter(
                "layers", f"layer {layer} has an irregular stride; choose another layer"
            )
        last = _largest(
            lambda r: self._nan_from(r)[layer][0] <= first, self._middle, self._middle + stride
        )
        final = self._nan_until(self._middle)[layer][1]
        start = _largest(
            lambda r: self._nan_until(r)[layer][1] <= final, self._middle, self._middle + stride
        )
        return Reach(stride, first=start - (final + 1) * stride, last=last - first * stride)

    def _nan_from(self, row: int) -> dict[str, tuple[int, int, int]]:
        return self._nan_between(row, self.extent)

    def _nan_until(self, row: int) -> dict[str, tuple[int, int, int]]:
        return self._nan_between(0, row)

    def _nan_between(self, start: int, stop: int) -> dict[str, tuple[int, int, int]]:
        """Return the first and last NaN feature and the number of features, by layer."""
        if (start, stop) not in self._spans:
            features = self._run(start, stop)
            self._spans[start, stop] = {k: _nan_span(f, self.axis) for k, f in features.items()}
        return self._spans[start, stop]


def _run_smallest(
    extract: Extract, axis: int, extent: int, start: int, stop: int
) -> Mapping[str, Tensor]:
    """Run the probe on the narrowest strip that the network accepts."""
    for width in _WIDTHS:
        picture = torch.zeros(1, 3, *((extent, width) if axis == 2 else (width, extent)))
        picture.narrow(axis, start, stop - start).fill_(torch.nan)
        try:
            return extract(picture)
        except RuntimeError:
            if width == _WIDTHS[-1]:
                raise
    raise AssertionError


def _nan_span(features: Tensor, axis: int) -> tuple[int, int, int]:
    other = 3 if axis == 2 else 2
    marks = features.isnan().any(dim=other).any(dim=1)[0]
    positions = marks.nonzero()
    count = len(marks)
    if not len(positions):
        return count, -1, count
    return int(positions[0]), int(positions[-1]), count


def _largest(is_true: Callable[[int], bool], low: int, high: int) -> int:
    """Return the largest true value in [low, high), which is true at low and up to some value."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_true(middle) else (low, middle)
    return low
