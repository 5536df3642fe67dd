"""A collapse is reported in the step it starts, and stops the run if it lasts."""

import pytest
import torch
from torch import Tensor

from farm.engine.training.collapse import CollapseDetector, DiversityDetector, spread_of
from farm.errors import UserError

GREY = torch.full((2, 3, 16, 16), 0.5)
NOISE = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        (GREY, r"a channel's standard deviation is 0\.000, below 0\.02"),
        (NOISE * 0.1, r"the mean colour is off by 0\.45, more than 0\.35"),
        (NOISE.round(), r"100% of the values are saturated, more than 25%"),
        (torch.cat([NOISE[:, :2], GREY[:, 2:]], 1), "a channel's standard deviation"),
    ],
)
def test_a_collapse_is_a_warning_and_stops_the_run_if_it_lasts(
    pictures: Tensor, reason: str
) -> None:
    detector = CollapseDetector((0.5, 0.5, 0.5), patience=2)
    measured = detector.measure(pictures).mean(0)
    for step in (1, 2):
        _, fault = detector.check(step, {"loss": 0.1}, measured)
        assert fault
    with pytest.raises(
        UserError, match=rf"collapsed at step 3: {reason}.* \(3 steps in a row\); start again"
    ):
        detector.check(3, {"loss": 0.1}, measured)


def test_a_fault_that_passes_resets_the_count() -> None:
    detector = CollapseDetector((0.5, 0.5, 0.5), patience=1)
    grey, noise = (detector.measure(p).mean(0) for p in (GREY, NOISE))
    for step in range(5):
        assert detector.check(step, {}, grey)[1]
        assert not detector.check(step, {}, noise)[1]


def drawn(count: int, *, diverse: bool) -> Tensor:
    """Return pictures in -1..1 with a blob each, all in one place or each in another."""
    generator = torch.Generator().manual_seed(1)
    pictures = torch.randn(count, 3, 16, 16, generator=generator) * 0.1 - 0.5
    for picture in pictures:
        row, column = torch.randint(0, 8, (2,), generator=generator).tolist() if diverse else (4, 4)
        picture[:, row : row + 8, column : column + 8] += 1
    return pictures


def watch(pictures: Tensor, steps: int = 3) -> str:
    """Return what a detector says after some steps with these pictures."""
    detector = DiversityDetector(spread_of(drawn(64, diverse=True)), patience=2)
    for step in range(steps):
        _, fault = detector.check(step, {"generator": 1.0}, detector.measure(pictures).mean(0))
    return fault


def test_diverse_pictures_are_no_collapse() -> None:
    assert watch(drawn(16, diverse=True)) == ""
    assert watch(0.5 * drawn(16, diverse=True)) == ""


def test_pictures_that_are_all_alike_are_a_collapse() -> None:
    assert "its pictures are all alike (spread 0.0" in watch(drawn(16, diverse=False))
    assert "all alike" in watch(drawn(1, diverse=True).expand(16, -1, -1, -1))


@pytest.mark.parametrize(
    "blank", [torch.zeros(8, 3, 16, 16), torch.full((8, 3, 16, 16), torch.nan)]
)
def test_blank_and_broken_pictures_are_a_collapse(blank: Tensor) -> None:
    assert "its pictures are blank" in watch(blank)


def test_pictures_of_one_colour_each_are_blank_although_they_differ() -> None:
    assert "blank" in watch(torch.linspace(-1, 1, 8)[:, None, None, None].expand(8, 3, 16, 16))


def test_a_collapse_is_reported_once_it_lasts_and_never_stops_the_run() -> None:
    assert watch(drawn(16, diverse=False), steps=2) == ""
    assert watch(drawn(16, diverse=False), steps=500)


def test_what_workers_measure_adds_up() -> None:
    detector, pictures = DiversityDetector(0.5), drawn(16, diverse=True)
    whole = detector.measure(pictures).sum(0)
    shares = detector.measure(pictures[::2]).sum(0) + detector.measure(pictures[1::2]).sum(0)
    torch.testing.assert_close(shares, whole)
    figures, _ = detector.check(1, {}, whole / 16)
    assert figures["spread"] == pytest.approx(spread_of(pictures), rel=1e-6)
