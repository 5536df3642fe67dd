"""Augmentation passes slopes through, changes each row on its own, and does what the paper says."""

import pytest
import torch
from torch import Tensor

from farm_dcgan.diffaugment import augment, draw
from farm_dcgan.presets import Augmentation

KINDS: tuple[Augmentation, ...] = ("colour", "translation", "cutout")
STAY = 0.5


def pictures(rows: int = 4, side: int = 16) -> Tensor:
    return torch.rand(rows, 3, side, side, generator=torch.Generator().manual_seed(3)) * 2 - 1


def draws(rows: int = 1, **values: float) -> Tensor:
    names = ("brightness", "saturation", "contrast", "down", "right", "cut_down", "cut_right")
    return torch.tensor([[values.get(name, STAY) for name in names]] * rows)


@pytest.mark.parametrize("kind", KINDS)
def test_slopes_are_those_of_finite_differences(kind: Augmentation) -> None:
    values = pictures(2, 6).double().requires_grad_()
    chosen = draw(1, 2, range(2), "real").double()
    assert torch.autograd.gradcheck(lambda x: augment(x, chosen, [kind]), values)


@pytest.mark.parametrize("kind", KINDS)
def test_each_row_is_changed_on_its_own(kind: Augmentation) -> None:
    batch, rows = pictures(4), range(4)
    together = augment(batch, draw(1, 2, rows, "real"), [kind])
    for worker in (range(0, 4, 2), range(1, 4, 2)):
        own = augment(batch[list(worker)], draw(1, 2, worker, "real"), [kind])
        torch.testing.assert_close(own, together[list(worker)], rtol=0, atol=1e-6)
    assert not torch.equal(together, batch)


def test_no_augmentation_returns_the_pictures() -> None:
    assert torch.equal(augment(pictures(), draw(1, 2, range(4), "real"), []), pictures())


def test_middle_draws_change_no_colour_and_no_position() -> None:
    torch.testing.assert_close(augment(pictures(), draws(4), ["colour", "translation"]), pictures())


def test_passes_steps_and_seeds_draw_differently() -> None:
    first = draw(1, 2, range(3), "real")
    assert torch.equal(first, draw(1, 2, range(3), "real"))
    assert torch.equal(first[1::2], draw(1, 2, range(1, 3, 2), "real"))
    for other in (
        draw(1, 2, range(3), "fake"),
        draw(1, 3, range(3), "real"),
        draw(2, 2, range(3), "real"),
    ):
        assert not torch.equal(first, other)


@pytest.mark.parametrize(("share", "shift"), [(0.0, -2), (0.5, 0), (0.9999, 2), (1.0, 2)])
def test_translation_moves_by_an_eighth_and_fills_with_zeros(share: float, shift: int) -> None:
    picture = pictures(1) + 3
    moved = augment(picture, draws(down=share), ["translation"])
    assert torch.equal(
        moved[:, :, max(0, shift) : 16 + shift], picture[:, :, max(0, -shift) : 16 - shift]
    )
    assert int((moved == 0).sum()) == 3 * 16 * abs(shift)


def test_cutout_blanks_half_the_side_anywhere() -> None:
    picture = torch.ones(1, 3, 16, 16)
    centre = augment(picture, draws(), ["cutout"])
    assert int((centre == 0).sum()) == 3 * 8 * 8
    corner = augment(picture, draws(cut_down=0.0, cut_right=0.9999), ["cutout"])
    assert int((corner == 0).sum()) == 3 * 4 * 4
    assert not corner[..., :4, 12:].any()


def test_colour_changes_have_the_papers_ranges() -> None:
    picture = pictures(1)
    brighter = augment(picture, draws(brightness=1.0), ["colour"])
    torch.testing.assert_close(brighter, picture + 0.5)
    grey = augment(picture, draws(saturation=0.0), ["colour"])
    assert float(grey.std(1).max()) < 1e-6
    flat = augment(picture, draws(contrast=0.0), ["colour"])
    assert float(flat.std() / picture.std()) == pytest.approx(0.5, rel=1e-3)
