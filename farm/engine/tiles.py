"""The geometry of tiles: which features each tile owns and which pixels it needs.

A tile owns a block of each layer's features, and every feature is owned exactly once. The tile's
crop is extended by the layers' reach, so that the owned features equal those of the whole picture.
It starts on a multiple of the stride, so that pooling grids agree, and it is clipped at the
picture's border, so that the network pads there as usual. Each axis is computed separately.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, lcm


@dataclass(frozen=True)
class Reach:
    """The pixels that a feature depends on along one axis: i*stride + first..last for feature i."""

    stride: int
    first: int
    last: int

    @property
    def extent(self) -> int:
        """Number of pixels that one feature depends on."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Span:
    """A half-open range [start, stop)."""

    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __contains__(self, value: int) -> bool:
        return self.start <= value < self.stop


@dataclass(frozen=True)
class Segment:
    """One tile along one axis.

    own: the pixels between its borders. crop: the pixels it needs. owned: the features it owns in
    each layer. first: the index of the first owned feature among the crop's features.
    """

    own: Span
    crop: Span
    owned: Mapping[str, Span]
    first: Mapping[str, int]


@dataclass(frozen=True)
class Tile:
    """One tile of the picture: a segment along each axis."""

    vertical: Segment
    horizontal: Segment

    @property
    def overlap_pixels(self) -> int:
        """Number of pixels in the crop that belong to other tiles."""
        crop = len(self.vertical.crop) * len(self.horizontal.crop)
        return crop - len(self.vertical.own) * len(self.horizontal.own)


def borders(length: int, tile: int, stride: int) -> tuple[int, ...]:
    """Return the borders of tiles along an axis; all but the last are multiples of the stride.

    length, tile: pixels; if tile is 0, or at least length, there is one tile. Tiles are as equal
    as the stride allows, and no longer than tile rounded up to a multiple of it.
    """
    if tile == 0 or tile >= length:
        return (0, length)
    count = ceil(length / tile)
    even = ceil(ceil(length / count) / stride) * stride
    return (*range(0, length, even), length)


def segments(
    length: int, tile: int, reach: Mapping[str, Reach], counts: Mapping[str, int]
) -> tuple[Segment, ...]:
    """Cut an axis into segments that own each layer's counts[layer] features exactly once."""
    stride = lcm(*(r.stride for r in reach.values()))
    edges = borders(length, tile, stride)
    cut = (_segment(edge, length, stride, reach, counts) for edge in pairwise(edges))
    return tuple(segment for segment in cut if segment.owned)


def _segment(
    edge: tuple[int, int],
    length: int,
    stride: int,
    reach: Mapping[str, Reach],
    counts: Mapping[str, int],
) -> Segment:
    own, owned = Span(*edge), {}
    for layer, r in reach.items():
        stop = counts[layer] if edge[1] == length else edge[1] // r.stride
        span = Span(edge[0] // r.stride, min(stop, counts[layer]))
        if len(span):
            owned[layer] = span
    if not owned:
        return Segment(own, own, {}, {})
    # The network always runs to its deepest layer, so the crop needs a feature of every layer.
    needed = {k: owned.get(k, Span(counts[k] - 1, counts[k])) for k in reach}
    first = min(s.start * reach[k].stride + reach[k].first for k, s in needed.items())
    last = max((s.stop - 1) * reach[k].stride + reach[k].last for k, s in needed.items())
    start = max(0, first) // stride * stride
    offsets = {k: s.start - start // reach[k].stride for k, s in owned.items()}
    return Segment(own, Span(start, min(length, last + 1)), owned, offsets)


def whole(length: int, counts: Mapping[str, int]) -> tuple[Segment, ...]:
    """Return a single segment that owns everything; it needs no reach."""
    owned = {layer: Span(0, count) for layer, count in counts.items()}
    everything = Span(0, length)
    return (Segment(everything, everything, owned, dict.fromkeys(counts, 0)),)


def grid(vertical: Sequence[Segment], horizontal: Sequence[Segment]) -> Iterator[Tile]:
    """Yield the tiles row by row, the fixed order in which results are summed."""
    for v in vertical:
        for h in horizontal:
            yield Tile(v, h)
