"""The endless dream draws nearer, turns and moves as it is told, and lets classes take turns."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from farm.engine.context import FrameContext
from farm.engine.networks import NetworkCache
from farm.errors import BadParameter, UnknownName
from farm.host.vetting import validate_params
from farm.model.job import Plan
from farm_dream.zoom import Turn, Zoom, draw_near, read_turn, turn_weights

TURNS = st.lists(
    st.builds(Turn, st.floats(0, 100), st.sampled_from(["cat", "dog", "volcano"])), max_size=5
)


def spot(y: int, x: int) -> Tensor:
    """Return a dark picture with one soft spot."""
    rows, columns = torch.arange(80.0)[:, None], torch.arange(120.0)
    far = (rows - y) ** 2 + (columns - x) ** 2
    return torch.exp(-far / 18).expand(1, 3, -1, -1).contiguous()


def place(image: Tensor) -> tuple[float, float]:
    """Return where the light is: its row and its column."""
    light = image[0, 0] / image[0, 0].sum()
    rows, columns = torch.arange(80.0)[:, None], torch.arange(120.0)
    return float((light * rows).sum()), float((light * columns).sum())


@pytest.mark.parametrize(
    ("motion", "to"),
    [
        ((1.0, 0.0, 0.0, 0.0), (30, 70)),
        ((1.5, 0.0, 0.0, 0.0), (25.25, 75.25)),
        ((1.0, 0.0, 6.0, -4.0), (26, 76)),
        ((1.0, 90.0, 0.0, 0.0), (50, 69)),
    ],
)
def test_a_picture_is_drawn_near_about_its_centre(
    motion: tuple[float, float, float, float], to: tuple[float, float]
) -> None:
    assert place(draw_near(spot(30, 70), *motion)) == pytest.approx(to, abs=0.3)


def test_what_comes_in_is_the_picture_mirrored() -> None:
    grey = torch.full((1, 3, 20, 30), 0.4)
    assert torch.allclose(draw_near(grey, 0.5, 20, 7, 3), grey)


@given(TURNS, st.floats(0, 200), st.floats(0.01, 9))
def test_the_classes_of_a_time_share_all_of_it(
    turns: list[Turn], seconds: float, fade: float
) -> None:
    weights = turn_weights(turns, seconds, fade)
    assert bool(weights) == any(turn.seconds <= seconds for turn in turns)
    assert sum(weights.values()) == pytest.approx(float(bool(weights)))
    assert all(0 <= weight <= 1 for weight in weights.values())


def test_a_class_fades_in_from_its_turn_on() -> None:
    turns = [Turn(0, "cat"), Turn(4, "volcano")]
    assert turn_weights(turns, 3.9, 2) == {"cat": 1}
    assert turn_weights(turns, 5, 2) == {"cat": 0.5, "volcano": 0.5}
    assert turn_weights(turns, 6, 2) == {"volcano": 1}


def test_a_turn_is_read() -> None:
    assert read_turn("2.5=tabby, tabby cat") == Turn(2.5, "tabby, tabby cat")


@pytest.mark.parametrize("at", ["tabby", "x=tabby", "-1=tabby", "4="])
def test_what_is_no_turn_is_refused(at: str) -> None:
    with pytest.raises(BadParameter, match="give SECONDS=CLASS, such as 4=volcano"):
        validate_params(Zoom, {"turns": [at]})


@pytest.mark.slow
def test_a_turn_of_an_unknown_class_is_refused(networks: NetworkCache) -> None:
    context = FrameContext(
        device="cpu",
        plan=Plan(),
        networks=networks,
        frame="frame",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=lambda _: np.zeros((1, 1, 3), np.float32),
    )
    zoom = Zoom(validate_params(Zoom, {"turns": ["0=unicorn"]}))
    with pytest.raises(UnknownName, match="unknown class of starter 'unicorn'"):
        zoom.check(context)
