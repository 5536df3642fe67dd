"""Where tiles lie: which features each one owns and which pixels it needs. Pure geometry.

A tile owns a block of each layer's features, so every feature is owned exactly once. Its crop
is grown by the layers' reach, so that the owned features are the whole picture's own; it starts
on a multiple of the stride, so that pooling grids agree; and it is clipped at the picture's
border, so that padding there is the real padding. Everything is worked out per axis.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, lcm


@dataclass(frozen=True)
class Reach:
    """Which pixels a feature sees along one axis: feature i sees i*stride + first..last."""

    stride: int
    first: int
    last: int

    @property
    def extent(self) -> int:
        """Pixels that one feature sees."""
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

    own: the pixels between its borders. crop: the pixels it needs. owned: the features it owns in each layer. first: where in the
    crop's own features the owned ones begin.
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
        """Pixels of the crop that are other tiles' own."""
        crop = len(self.vertical.crop) * len(self.horizontal.crop)
        return crop - len(self.vertical.own) * len(self.horizontal.own)


def borders(length: int, tile: int, stride: int) -> tuple[int, ...]:
    """Return the borders of equal tiles along an axis, all but the last on the stride.

    length, tile: pixels, at least 1; a tile of 0 or at least length gives one tile. The tiles
    are as even as the stride allows and no longer than tile rounded up to it.
    """
    if tile == 0 or tile >= length:
        return (0, length)
    count = ceil(length / tile)
    even = ceil(ceil(length / count) / stride) * stride
    return (*range(0, length, even), length)


def segments(
    length: int, tile: int, reach: Mapping[str, Reach], counts: Mapping[str, int]
) -> tuple[Segment, ...]:
    """Cut an axis into segments that together own each layer's counts[layer] features once."""
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
    # The network runs down to its deepest layer, so the crop holds a feature of every layer.
    needed = {k: owned.get(k, Span(counts[k] - 1, counts[k])) for k in reach}
    first = min(s.start * reach[k].stride + reach[k].first for k, s in needed.items())
    last = max((s.stop - 1) * reach[k].stride + reach[k].last for k, s in needed.items())
    start = max(0, first) // stride * stride
    begin = {k: s.start - start // reach[k].stride for k, s in owned.items()}
    return Segment(own, Span(start, min(length, last + 1)), owned, begin)


def whole(length: int, counts: Mapping[str, int]) -> tuple[Segment, ...]:
    """Return the one segment that owns everything; no reach is needed."""
    owned = {layer: Span(0, count) for layer, count in counts.items()}
    everything = Span(0, length)
    return (Segment(everything, everything, owned, dict.fromkeys(counts, 0)),)


def grid(vertical: Sequence[Segment], horizontal: Sequence[Segment]) -> Iterator[Tile]:
    """Yield the tiles row by row: the fixed order in which sums are taken."""
    for v in vertical:
        for h in horizontal:
            yield Tile(v, h)
