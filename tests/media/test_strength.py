"""Pictures are held to a strength in each band of frequencies, and cross-faded without losing any."""

import cv2
import numpy as np
import pytest

from farm.media.strength import cross_fade, hold, strength_of

from .test_flow import texture


def source(height: int = 90, width: int = 120) -> np.ndarray:
    return 0.3 + 0.4 * texture(1)[:height, :width]


def changed(seed: int, height: int = 90, width: int = 120) -> np.ndarray:
    """Return the source with coarse and fine changes."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.normal(size=(9, 12, 3)), (width, height)).astype(np.float32)
    fine = rng.normal(size=(height, width, 3)).astype(np.float32)
    return (source(height, width) + 0.05 * coarse + 0.05 * fine).clip(0, 1)


def test_a_blurred_change_gets_its_strength_back_in_every_band() -> None:
    wanted = strength_of(changed(2), source())
    blurred = source() + cv2.GaussianBlur(changed(2) - source(), (0, 0), 0.45)
    assert strength_of(blurred, source())[0] < 0.8 * wanted[0]
    held = hold(blurred, source(), wanted)
    assert strength_of(held, source()) == pytest.approx(wanted, rel=0.1)


def test_the_whole_change_is_held_where_its_bands_overlap_otherwise() -> None:
    where = cv2.GaussianBlur(np.random.default_rng(4).normal(size=(90, 120)), (0, 0), 6) > 0
    in_places = source() + where[..., None].astype(np.float32) * (changed(3) - source())
    wanted = strength_of(in_places, source())
    held = hold(changed(2), source(), wanted)
    assert strength_of(held, source())[-1] == pytest.approx(wanted[-1], rel=0.02)


def test_clipped_pixels_are_made_up_for() -> None:
    bright, wanted = 0.7 + 0.5 * source(), strength_of(changed(2), source())
    clipped = (bright + changed(2) - source()).clip(0, 1)
    assert strength_of(clipped, bright)[0] < 0.9 * wanted[0]
    held = hold(clipped, bright, wanted)
    assert 0 <= held.min() <= held.max() <= 1
    assert strength_of(held, bright) == pytest.approx(wanted, rel=0.1)


def test_an_unchanged_picture_stays_as_it_is() -> None:
    assert np.array_equal(hold(source(), source(), (0.1, 0.1, 0.1, 0.1, 0.1)), source())


def test_the_middle_of_a_cross_fade_is_as_strong_as_its_ends() -> None:
    one, other = changed(2), changed(3)
    middle = cross_fade(one, other, 0.5, source())
    ends = np.mean([strength_of(one, source()), strength_of(other, source())], axis=0)
    assert strength_of(middle, source()) == pytest.approx(ends, rel=0.03)


def test_a_cross_fade_of_equal_pictures_is_that_picture() -> None:
    assert cross_fade(changed(2), changed(2), 0.4, source()) == pytest.approx(changed(2), abs=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 2), (45, 60)])
def test_pictures_of_any_size_are_held(shape: tuple[int, int]) -> None:
    picture = changed(2, *shape)
    held = hold(picture, source(), strength_of(picture, source()))
    assert held.shape == (*shape, 3)
    assert held == pytest.approx(picture, abs=0.01)


def test_an_enlarged_source_is_compared_without_blocks() -> None:
    large = np.asarray(cv2.resize(source(), (360, 270), interpolation=cv2.INTER_CUBIC))
    assert max(strength_of(large, source())) < 1e-4


def test_a_strength_does_not_depend_on_threads() -> None:
    threads, pictures = cv2.getNumThreads(), []
    for number in (1, 4):
        cv2.setNumThreads(number)
        pictures.append(hold(changed(2), source(), (0.05, 0.04, 0.03, 0.06, 0.08)))
    cv2.setNumThreads(threads)
    assert np.array_equal(*pictures)
