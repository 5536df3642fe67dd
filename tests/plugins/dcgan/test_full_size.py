"""The presets of 128x128 and 256x256 train at full size."""

from math import isfinite

import pytest

from farm_dcgan.presets import PRESETS

from .conftest import MakeTraining

pytestmark = pytest.mark.proof


@pytest.mark.parametrize("preset", ["cats128", "faces256"])
def test_a_preset_trains_at_full_size(make_training: MakeTraining, preset: str) -> None:
    training = make_training(preset=preset, width=1.0, batch=2)
    assert training.average.layers[-1][0].out_channels == 3  # type: ignore[union-attr, index]
    state = training.state({})
    before = state.digest()
    losses = []
    for _ in range(2):
        result = training.step(state, range(2))
        state.step += 1
        losses.append({name: float(loss) for name, loss in result.losses.items()})
        assert result.pictures is not None
        assert result.pictures.shape == (2, 3, PRESETS[preset].side, PRESETS[preset].side)
    assert all(isfinite(loss) for step in losses for loss in step.values())
    assert losses[0] != losses[1]
    assert state.digest() != before
