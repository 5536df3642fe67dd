"""The endless dream: zoom, rotation and shift of the camera, and cues for classes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from farm.engine.context import FrameContext
from farm.engine.networks import NetworkCache
from farm.errors import BadParameter, UnknownName
from farm.host.schedule import Schedule
from farm.host.vetting import validate_params
from farm.model.job import Plan
from farm_dream.zoom import Cue, Zoom, ZoomParams, class_weights, move_camera, parse_cue

CUES = st.lists(
    st.builds(Cue, st.floats(0, 100), st.just(False), st.sampled_from(["cat", "dog", "volcano"])),
    max_size=5,
)


def spot(y: int, x: int) -> Tensor:
    """Return a dark picture with one soft spot."""
    rows, columns = torch.arange(80.0)[:, None], torch.arange(120.0)
    squared_distance = (rows - y) ** 2 + (columns - x) ** 2
    return torch.exp(-squared_distance / 18).expand(1, 3, -1, -1).contiguous()


def centroid(image: Tensor) -> tuple[float, float]:
    """Return the row and the column of the centroid of light."""
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
def test_the_camera_zooms_rotates_and_shifts_about_the_centre(
    motion: tuple[float, float, float, float], to: tuple[float, float]
) -> None:
    assert centroid(move_camera(spot(30, 70), *motion)) == pytest.approx(to, abs=0.3)


def test_areas_beyond_the_edges_are_mirrored() -> None:
    grey = torch.full((1, 3, 20, 30), 0.4)
    assert torch.allclose(move_camera(grey, 0.5, 20, 7, 3), grey)


@given(CUES, st.floats(0, 200), st.floats(0.01, 9))
def test_class_weights_add_up_to_one(cues: list[Cue], seconds: float, fade: float) -> None:
    weights = class_weights(cues, seconds, 9, fade)
    assert bool(weights) == any(cue.time <= seconds for cue in cues)
    assert sum(weights.values()) == pytest.approx(float(bool(weights)))
    assert all(0 <= weight <= 1 for weight in weights.values())


def test_a_class_fades_in_from_its_cue() -> None:
    cues = list(map(parse_cue, ("0=cat", "4=volcano")))
    assert class_weights(cues, 3.9, 39, 2) == {"cat": 1}
    assert class_weights(cues, 5, 50, 2) == {"cat": 0.5, "volcano": 0.5}
    assert class_weights(cues, 6, 60, 2) == {"volcano": 1}


def test_a_class_fades_in_from_a_frame() -> None:
    cues = list(map(parse_cue, ("f2=cat", "f41=volcano", "6=dog")))
    assert class_weights(cues, 0, 0, 2) == {}
    assert class_weights([parse_cue("f1=cat")], 0, 0, 2) == {"cat": 1}
    assert class_weights(cues, 0.1, 1, 2) == {"cat": 1}
    assert class_weights(cues, 4, 40, 2) == {"cat": 1, "volcano": 0}
    assert class_weights(cues, 5, 50, 2) == {"cat": 0.5, "volcano": 0.5}
    assert class_weights(cues, 8, 80, 2) == {"dog": 1}


def test_a_cue_is_parsed() -> None:
    assert parse_cue("2.5=tabby, tabby cat") == Cue(2.5, is_frame=False, name="tabby, tabby cat")
    assert parse_cue("f120=tabby=2") == Cue(120, is_frame=True, name="tabby=2")


@pytest.mark.parametrize("at", ["tabby", "x=tabby", "-1=tabby", "4=", "1.2.3 zoom=2"])
def test_an_invalid_cue_is_refused(at: str) -> None:
    with pytest.raises(BadParameter, match="give TIME=CLASS, for example 4=pizza, or f120="):
        validate_params(Zoom, {"at": [at]})


def test_a_cue_at_a_frame_that_no_film_has_is_refused() -> None:
    says = "at: 'f0' is no frame; frames are counted from 1, such as f240$"
    for text in ("f0=tabby", "f0 step=1 layer=conv3"):
        with pytest.raises(BadParameter, match=says):
            validate_params(Zoom, {"at": [text]})


@pytest.mark.slow
def test_a_cue_for_an_unknown_class_is_refused(networks: NetworkCache) -> None:
    context = FrameContext(
        device="cpu",
        plan=Plan(),
        networks=networks,
        frame="frame",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=lambda _: np.zeros((1, 1, 3), np.float32),
    )
    zoom = Zoom(validate_params(Zoom, {"at": ["0=unicorn"]}))
    with pytest.raises(UnknownName, match="unknown class of starter 'unicorn'"):
        zoom.check(context)


def test_a_class_and_numbers_change_side_by_side() -> None:
    params = validate_params(Zoom, {"at": ["0=cat", "0 zoom=1", "4 zoom=1.2 shift=2,0", "9=dog"]})
    schedule = Schedule.of(params)
    assert schedule
    there = schedule.at(2, 50)
    assert isinstance(there, ZoomParams)
    assert (there.zoom, there.shift) == (1.1, (1, 0))
    assert there.cues == [parse_cue("0=cat"), parse_cue("9=dog")]


def test_classes_cross_fade_by_weight() -> None:
    schedule = Schedule.of(validate_params(Zoom, {"at": ["0 class=cat", "4 class=dog=3"]}))
    assert schedule
    there = schedule.at(1, 25)
    assert isinstance(there, ZoomParams)
    assert there.class_weights() == {"cat": 0.75, "dog": 0.75}


def test_channels_cross_fade_by_weight() -> None:
    schedule = Schedule.of(validate_params(Zoom, {"channels": [3], "at": ["4 channel=5"]}))
    assert schedule
    there = schedule.at(1, 25)
    assert isinstance(there, ZoomParams)
    assert there.channel_weights() == {3: 0.75, 5: 0.25}


def test_records_of_earlier_versions_have_another_name_for_cues() -> None:
    assert validate_params(Zoom, {"turns": ["4=pizza"]}) == ZoomParams(at=("4=pizza",))
    given = validate_params(Zoom, {"turns": ["4=pizza"], "at": ["2=cat"]})
    assert given == ZoomParams(at=("2=cat",))
