"""The demo's sky is a valid picture and depends only on its seed."""

import numpy as np
import pytest

from farm.cli.sky import draw_sky


def test_equal_seeds_draw_equal_skies() -> None:
    assert np.array_equal(draw_sky(36, 48, seed=3), draw_sky(36, 48, seed=3))
    assert not np.array_equal(draw_sky(36, 48, seed=3), draw_sky(36, 48, seed=4))


@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 91)])
def test_a_sky_has_the_requested_size(height: int, width: int) -> None:
    sky = draw_sky(height, width)
    assert sky.shape == (height, width, 3)
    assert sky.dtype == np.float32
    assert sky.min() >= 0
    assert sky.max() <= 1


def test_a_sky_is_blue_above_warm_at_the_horizon_and_dark_below() -> None:
    sky = draw_sky(120, 160, seed=1)
    zenith, horizon, ground = sky[:8].mean((0, 1)), sky[72:78].mean((0, 1)), sky[-8:].mean((0, 1))
    assert zenith[2] > zenith[0]
    assert horizon[0] > horizon[2]
    assert ground.max() < 0.3
