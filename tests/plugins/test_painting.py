"""The generated painting: reproducible, with strokes and colours."""

import numpy as np
import pytest

from farm_style.painting import paint

pytestmark = pytest.mark.slow


def test_the_seed_decides_the_painting() -> None:
    first, again, other = paint(64), paint(64), paint(64, seed=8)
    assert np.array_equal(first, again)
    assert np.abs(first - other).mean() > 0.05


def test_the_painting_has_strokes_and_warm_and_cold_colours() -> None:
    picture = paint(96)
    assert picture.shape == (96, 96, 3)
    assert 0 <= picture.min() < 0.15
    assert 0.85 < picture.max() <= 1
    warmth = picture[..., 0] - picture[..., 2]
    assert (warmth > 0.2).mean() > 0.05
    assert (warmth < -0.2).mean() > 0.2
    assert np.abs(np.diff(picture, axis=0)).mean() > 0.03
