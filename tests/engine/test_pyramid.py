"""Octaves end at the picture's size, bands add up, and blur keeps flat pictures flat."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from farm.engine import pyramid


def noise(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height + 7 * width)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 10), st.floats(1.05, 3))
def test_octaves_grow_to_the_pictures_size(
    height: int, width: int, octaves: int, scale: float
) -> None:
    sizes = pyramid.octave_sizes(height, width, octaves, scale)
    assert len(sizes) == octaves
    assert sizes[-1] == (height, width)
    assert sizes == sorted(sizes)
    assert min(min(s) for s in sizes) >= 1


def test_octaves_of_the_original_deepdream() -> None:
    assert pyramid.octave_sizes(392, 784, 4, 1.4) == [
        (143, 286),
        (200, 400),
        (280, 560),
        (392, 784),
    ]


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 5))
def test_bands_add_up_to_the_picture(height: int, width: int, levels: int) -> None:
    image = noise(height, width)
    merged = pyramid.merge_bands(pyramid.laplacian_bands(image, levels))
    torch.testing.assert_close(merged, image)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.3, 8))
def test_blur_keeps_a_flat_picture_flat(height: int, width: int, sigma: float) -> None:
    flat = torch.full((1, 3, height, width), 0.3, dtype=torch.float64)
    torch.testing.assert_close(pyramid.blur(flat, sigma), flat)


def test_blur_removes_fine_noise() -> None:
    image = noise(64, 64)
    assert pyramid.blur(image, 3.0).std() < 0.25 * image.std()


def test_resizing_to_the_same_size_returns_the_same_tensor() -> None:
    image = noise(9, 11)
    assert pyramid.resize(image, 9, 11) is image


def test_total_variation_of_a_ramp() -> None:
    ramp = torch.linspace(0, 1, 11, dtype=torch.float64).expand(1, 3, 11, 11)
    assert float(pyramid.total_variation(ramp)) == pytest.approx(0.01, rel=1e-6)
