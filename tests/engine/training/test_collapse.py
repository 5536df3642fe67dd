"""A collapse is reported in the step it starts, and stops the run if it lasts."""

import pytest
import torch
from torch import Tensor

from farm.engine.training.collapse import CollapseDetector
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
