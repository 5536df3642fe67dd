"""The drawings that style networks are trained on: reproducible and unlike each other."""

from itertools import combinations

import numpy as np
import pytest

from farm_style.drawings import DRAWINGS, draw

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_seed_decides_the_drawing(name: str) -> None:
    first, again, other = draw(name, 64), draw(name, 64), draw(name, 64, seed=8)
    assert first.shape == (64, 64, 3)
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.05
    assert 0 <= first.min() < first.max() <= 1


def test_no_two_drawings_have_the_same_colours() -> None:
    """Told apart at a glance: histograms of coarse colours overlap by less than half."""
    shares = {}
    for name in DRAWINGS:
        cells = (draw(name, 96) * 3.999).astype(int) @ [16, 4, 1]
        shares[name] = np.bincount(cells.ravel(), minlength=64) / cells.size
    for one, other in combinations(shares, 2):
        assert np.minimum(shares[one], shares[other]).sum() < 0.5, (one, other)
