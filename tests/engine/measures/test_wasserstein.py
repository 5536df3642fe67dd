"""The sliced Wasserstein distance of equal sets is 0, and it shows in which band sets differ."""

import pytest
import torch
from torch import Tensor

from farm.engine.measures.wasserstein import (
    MAX_PATCHES,
    PATCHES,
    Patches,
    band_patches,
    patches_per_picture,
    sliced_wasserstein,
)
from farm.engine.pyramid import blur


def pictures(count: int = 48, side: int = 32, seed: int = 1) -> Tensor:
    """Return smooth random pictures with some noise."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    return smooth + 0.1 * torch.randn(count, 3, side, side, generator=generator)


def patches(images: Tensor, seed: int = 0) -> dict[int, Patches]:
    return band_patches(images, 16, torch.Generator().manual_seed(seed))


def distance(first: Tensor, second: Tensor) -> dict[int, float]:
    return sliced_wasserstein(patches(first), patches(second), 0)


def test_equal_sets_have_no_distance() -> None:
    assert distance(pictures(), pictures()) == {32: 0.0, 16: 0.0}


def test_the_distance_grows_with_blur_first_in_the_finest_band() -> None:
    plain = pictures()
    little, much = (distance(plain, blur(plain, sigma)) for sigma in (0.6, 1.5))
    assert 0 < little[32] < much[32]
    assert little[32] > 3 * little[16]


def test_brightness_and_contrast_do_not_count() -> None:
    changed = distance(pictures(), 0.5 * pictures() + 0.3)
    assert max(changed.values()) < 0.1


def test_the_larger_set_is_cut_to_the_smaller_one() -> None:
    assert distance(pictures(8), pictures(48)[:8]) == distance(pictures(8), pictures(48)[:8])
    assert sliced_wasserstein(patches(pictures(8)), patches(pictures(48)), 0).keys() == {32, 16}


@pytest.mark.parametrize(
    ("height", "width", "bands"),
    [(64, 64, [64, 32, 16]), (40, 64, [40, 20]), (16, 16, [16]), (7, 9, [7]), (6, 64, [])],
)
def test_bands_go_down_to_about_16_pixels(height: int, width: int, bands: list[int]) -> None:
    found = patches(torch.rand(2, 3, height, width))
    assert list(found) == bands
    assert all(values.shape == (32, 3, 7, 7) for values in found.values())


def test_patches_are_parts_of_the_picture() -> None:
    image = torch.arange(3 * 9 * 9, dtype=torch.float32).reshape(1, 3, 9, 9)
    (found,) = patches(image).values()
    windows = image.unfold(2, 7, 1).unfold(3, 7, 1).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)
    assert all(any(torch.equal(patch, window) for window in windows) for patch in found)
    assert len({float(patch[0, 0, 0]) for patch in found}) > 3


def test_large_sets_take_fewer_patches_from_each_picture() -> None:
    assert patches_per_picture(10) == PATCHES
    assert 1000 * patches_per_picture(1000) <= MAX_PATCHES
    assert patches_per_picture(10**6) == 1
