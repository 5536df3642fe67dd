"""Pictures of any shape become squares of one size."""

import numpy as np
import torch

from farm.engine.training import square


def test_a_square_of_the_right_size_keeps_its_pixels() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    assert torch.equal(square(pixels, 8), torch.tensor(pixels).permute(2, 0, 1) / 255)


def test_the_square_is_taken_from_the_middle() -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 255
    assert square(pixels, 8).min() == 1
    assert square(pixels.transpose(1, 0, 2), 4).min() > 0.999
