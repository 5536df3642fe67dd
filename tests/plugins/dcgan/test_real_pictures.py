"""Real pictures become squares of one size in -1..1."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from farm.engine.training import row_generator
from farm_dcgan.presets import DCGAN64, FACES256
from farm_dcgan.real_pictures import jitter, prepare


def picture(height: int, width: int) -> np.ndarray:
    """Return a picture that is dark on the left and bright on the right."""
    levels = np.linspace(0, 255, width).round().astype(np.uint8)
    return np.broadcast_to(levels[None, :, None], (height, width, 3))


@pytest.mark.parametrize(("height", "width"), [(64, 64), (100, 200), (31, 17)])
def test_any_picture_becomes_a_square_in_the_generators_range(height: int, width: int) -> None:
    values = prepare(DCGAN64, picture(height, width), row_generator(1, 2, 3))
    assert values.shape == (3, 64, 64)
    assert float(values.min()) >= -1
    assert float(values.max()) <= 1
    assert float(values.mean()) == pytest.approx(0, abs=0.05)
    assert float(values.std()) > 0.25


def test_black_is_minus_one_and_white_is_one() -> None:
    black, white = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    assert bool((prepare(DCGAN64, black, row_generator(1, 2, 3)) == -1).all())
    assert bool((prepare(DCGAN64, white, row_generator(1, 2, 3)) == 1).all())


def test_flipping_mirrors_half_of_the_pictures() -> None:
    recipe = replace(DCGAN64, flip=True)
    rises = [
        bool(values[0, 0, -1] > values[0, 0, 0])
        for values in (
            prepare(recipe, picture(64, 64), row_generator(1, 2, row)) for row in range(60)
        )
    ]
    assert 18 < sum(rises) < 42


def test_jitter_changes_colours_by_at_most_its_share_and_depends_on_the_generator() -> None:
    grey = np.full((8, 8, 3), 100, np.uint8)
    levels = {float(prepare(FACES256, grey, row_generator(1, 2, row)).mean()) for row in range(50)}
    assert len(levels) == 50
    shares = [(level + 1) / 2 * 2.55 for level in levels]
    assert 0.6 <= min(shares) < 0.8
    assert 1.2 < max(shares) <= 1.4


def test_a_change_of_zero_keeps_the_picture() -> None:
    values = torch.rand(3, 4, 4)
    torch.testing.assert_close(jitter(values, torch.zeros(3)), values)
