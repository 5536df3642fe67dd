"""Every feature has one owner, whose crop contains all the pixels it depends on."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from farm.engine.tiles import Reach, Span, borders, segments, whole

STRIDES = (1, 2, 4, 8, 16, 32)
LayerSet = tuple[int, dict[str, Reach], dict[str, int]]


@st.composite
def layer_sets(draw: st.DrawFn) -> LayerSet:
    """Draw a network's layers: the length of an axis, and each layer's reach and feature count."""
    length = draw(st.integers(1, 700))
    layers, counts = {}, {}
    for number in range(draw(st.integers(1, 3))):
        stride = draw(st.sampled_from(STRIDES))
        reach = Reach(stride, -draw(st.integers(0, 90)), draw(st.integers(0, 120)))
        layers[str(number)] = reach
        counts[str(number)] = draw(st.integers(1, -(-length // stride)))
    return length, layers, counts


@given(st.integers(1, 5000), st.integers(0, 2000), st.sampled_from(STRIDES))
def test_borders_cover_the_axis_in_multiples_of_the_stride(
    length: int, tile: int, stride: int
) -> None:
    edges = borders(length, tile, stride)
    assert (edges[0], edges[-1]) == (0, length)
    assert list(edges) == sorted(set(edges))
    assert all(edge % stride == 0 for edge in edges[:-1])
    if tile:
        longest = max(b - a for a, b in pairwise(edges))
        assert longest <= max(-(-tile // stride) * stride, stride)


@given(layer_sets(), st.integers(1, 400))
def test_each_feature_has_one_owner_whose_crop_covers_its_reach(case: LayerSet, tile: int) -> None:
    length, layers, counts = case
    cut = segments(length, tile, layers, counts)
    for name, reach in layers.items():
        owned = [i for s in cut if name in s.owned for i in range(*_ends(s.owned[name]))]
        assert owned == list(range(counts[name]))
        for s in cut:
            for i in range(*_ends(s.owned.get(name, Span(0, 0)))):
                assert s.crop.start <= max(0, i * reach.stride + reach.first)
                assert s.crop.stop >= min(length, i * reach.stride + reach.last + 1)
                inside = i - s.owned[name].start + s.first[name]
                assert inside * reach.stride + s.crop.start == i * reach.stride


@given(layer_sets(), st.integers(1, 400))
def test_crops_start_on_the_stride_and_own_pixels_do_not_overlap(case: LayerSet, tile: int) -> None:
    length, layers, counts = case
    cut = segments(length, tile, layers, counts)
    stride = max(r.stride for r in layers.values())
    assert all(s.crop.start % stride == 0 for s in cut)
    assert sum(len(s.own) for s in cut) <= length


def test_a_single_tile_needs_no_reach() -> None:
    (only,) = whole(100, {"a": 7})
    assert (only.crop, only.owned["a"]) == (Span(0, 100), Span(0, 7))


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.stop
