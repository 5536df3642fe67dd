"""MS-SSIM is 1 for equal pictures, and falls as they differ."""

import pytest
import torch

from farm.engine.measures.similarity import pair_similarity, scales


def test_equal_pictures_have_a_similarity_of_1() -> None:
    pictures = torch.rand(3, 3, 32, 32).repeat_interleave(2, 0)
    assert pair_similarity(pictures).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_pairs_are_neighbours_in_the_batch_and_an_odd_one_is_left_out() -> None:
    a, b, c = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    first, second = pair_similarity(torch.stack([a, a, b, c, a])).tolist()
    assert first == pytest.approx(1, abs=1e-5)
    assert second < 0.3
    assert pair_similarity(a[None]).shape == (0,)


def test_similarity_falls_with_noise() -> None:
    picture = torch.rand(1, 3, 32, 32)
    noise = torch.randn(1, 3, 32, 32)
    little, much = (
        float(pair_similarity(torch.cat([picture, picture + share * noise])))
        for share in (0.05, 0.5)
    )
    assert much < little < 1


@pytest.mark.parametrize(
    ("side", "expected"),
    [(10, 0), (11, 1), (16, 1), (22, 2), (32, 2), (44, 3), (64, 3), (99, 4), (128, 4), (176, 5)],
)
def test_small_pictures_use_fewer_scales(side: int, expected: int) -> None:
    assert scales(side, 2 * side) == scales(2 * side, side) == expected
    if expected:
        pair = torch.rand(1, 3, side, side).repeat(2, 1, 1, 1)
        assert pair_similarity(pair).item() == pytest.approx(1, abs=1e-5)
