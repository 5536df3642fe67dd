"""Pictures are brought to another size in linear light, and without fringes at their edges."""

import numpy as np
import pytest

from farm.errors import BadParameter
from farm.media import Frame
from farm.media.resample import resample


def test_a_picture_of_the_size_stays_as_it_is() -> None:
    frame = Frame(np.random.default_rng(0).random((5, 7, 3), dtype=np.float32))
    assert resample(frame, 5, 7) is frame


def test_light_is_kept_not_its_code() -> None:
    checks = np.where(np.indices((64, 64)).sum(0) % 2, 0.8, 0.2)
    frame = Frame(np.repeat(checks[..., None], 3, 2).astype(np.float32))
    small = resample(frame, 8, 8).pixels
    assert small == pytest.approx(0.6, abs=0.03)  # half the light; half the code would be 0.5


def test_what_is_transparent_lends_no_colour() -> None:
    pixels = np.zeros((32, 32, 3), np.float32)
    pixels[:, :16] = (1, 0, 0)
    pixels[:, 16:] = (0, 1, 0)
    alpha = np.zeros((32, 32), np.float32)
    alpha[:, :16] = 1
    small = resample(Frame(pixels, alpha), 8, 9)
    assert small.alpha is not None
    seen = small.pixels[small.alpha > 0.01]
    assert seen[:, 0].min() > 0.99
    assert seen[:, 1].max() < 0.01


def test_a_size_beyond_all_memory_is_refused() -> None:
    frame = Frame(np.zeros((5, 7, 3), np.float32))
    with pytest.raises(BadParameter, match="100000x100000 has more than"):
        resample(frame, 100_000, 100_000)
