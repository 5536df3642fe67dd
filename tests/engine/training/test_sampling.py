"""Latents of rows and walks, and pictures side by side at their own levels."""

import pytest
import torch
from torch import Tensor

from farm.engine.training import sampling
from farm.engine.training.sampling import AT_ONCE, draw, grid, interpolation, side_by_side, walk
from farm.errors import PluginError, UserError


class Plain:
    """Draws plain pictures in the colour that the latent names."""

    def latents(self, count: int, seed: int) -> Tensor:
        return torch.rand(count, 3, generator=torch.Generator().manual_seed(seed))

    def mix(self, first: Tensor, second: Tensor, share: float) -> Tensor:
        return first.lerp(second, share)

    def draw(self, latents: Tensor) -> Tensor:
        assert len(latents) <= AT_ONCE
        return latents[:, :, None, None].expand(-1, 3, 5, 7)


class Broken(Plain):
    """Draws what is given, whatever the latents are."""

    def __init__(self, drawn: Tensor) -> None:
        self._drawn = drawn

    def draw(self, latents: Tensor) -> Tensor:
        return self._drawn


def test_each_row_leads_from_one_latent_to_another() -> None:
    rows = interpolation(Plain(), 3, 5, 1).reshape(3, 5, 3)
    ends = Plain().latents(6, 1)
    torch.testing.assert_close(rows[:, 0], ends[::2])
    torch.testing.assert_close(rows[:, -1], ends[1::2])
    torch.testing.assert_close(rows[:, 2], (ends[::2] + ends[1::2]) / 2)


@pytest.mark.parametrize("frames", [12, 10])
def test_a_walk_passes_through_its_stops_in_equal_steps_and_ends_where_it_began(
    frames: int,
) -> None:
    path = walk(Plain(), 4, frames, 1)
    stops = Plain().latents(4, 1)
    assert len(path) == frames
    torch.testing.assert_close(path[0], stops[0])
    torch.testing.assert_close(path[frames // 2], stops[2])
    closing = (stops[0] - path[-1]) / (stops[0] - stops[3])
    torch.testing.assert_close(closing, torch.full((3,), 4 / frames))


def test_a_film_shorter_than_its_stops_skips_some() -> None:
    torch.testing.assert_close(walk(Plain(), 4, 2, 1), Plain().latents(4, 1)[::2])


def test_pictures_are_drawn_in_small_batches_in_order() -> None:
    latents = Plain().latents(2 * AT_ONCE + 3, 1)
    batches = list(draw(Plain(), latents))
    assert [len(batch) for batch in batches] == [AT_ONCE, AT_ONCE, 3]
    assert torch.equal(torch.cat(batches)[..., 0, 0], latents)


def test_a_grid_keeps_the_levels_of_its_pictures_and_the_gaps_are_black() -> None:
    latents = torch.tensor([[0.5, 0.5, 0.5], [0.4, 0.5, 0.6], [0.1, 0.2, 0.3]])
    reports = []
    whole = grid(Plain(), latents, 2, lambda *done: reports.append(done))
    assert whole.shape == (2 * 7 + 2, 2 * 9 + 2, 3)
    assert whole[3, 3].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert whole[3, 12].tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert whole[10, 3].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert not whole[7:9].any()
    assert reports == [(3, 3)]


def test_a_single_picture_is_a_grid_of_one() -> None:
    assert side_by_side(torch.rand(1, 3, 5, 7), 1).shape[2] == 3


def test_a_grid_that_is_too_large_is_refused_before_all_of_it_is_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "_MAX_PIXELS", 64 * 35 - 1)
    reports: list[tuple[int, int]] = []
    with pytest.raises(UserError, match="a grid of 64 pictures of 7x5 pixels is too large; draw"):
        grid(Plain(), Plain().latents(64, 1), None, lambda *done: reports.append(done))
    assert not reports


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 3, 4, 4), (2, 1, 4, 4)])
def test_what_is_no_batch_of_pictures_is_the_plugins_fault(shape: tuple[int, ...]) -> None:
    sampler = Broken(torch.zeros(shape))
    with pytest.raises(PluginError, match=r"Broken: drew a tensor of shape .* expected \[2, 3, h"):
        list(draw(sampler, sampler.latents(2, 1)))


def test_pictures_that_are_not_finite_are_refused() -> None:
    sampler = Broken(torch.full((1, 3, 4, 4), torch.nan))
    with pytest.raises(UserError, match="the run has diverged"):
        list(draw(sampler, sampler.latents(1, 1)))


def test_values_outside_of_the_range_are_clipped() -> None:
    (batch,) = draw(Broken(torch.tensor([-0.5, 1.5]).expand(1, 3, 1, 2)), torch.zeros(1, 3))
    assert batch[0, 0].tolist() == [[0, 1]]
