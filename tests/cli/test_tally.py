"""What the displays show: counts that add up, speed, and a fair guess of the time left."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.cli.display import as_dict, duration
from farm.cli.tally import Tally
from farm.model.events import (
    JobChanged,
    News,
    Notice,
    Progressed,
    ReadProgress,
    StaleReport,
    UnitChanged,
    WorkerChanged,
)
from farm.model.job import Job, JobSpec
from farm.model.messages import Failure, Figures, Reason, UnitProgress
from farm.model.unit import Unit, UnitState

S = UnitState


def unit(name: str) -> Unit:
    return Unit("j1", name, f"{name}.jpg", f"{name}.png")


def ended(name: str) -> UnitChanged:
    return UnitChanged(unit(name), S.SUCCEEDED, 1, figures=Figures(pixels=2_000_000, tiles=3))


def progressed(name: str, done: float, tiles: int = 0) -> Progressed:
    return Progressed(unit(name), UnitProgress("w1", "t1", done, tiles=tiles))


def tally(*events: News, total: int = 4) -> Tally:
    made = Tally(total=total)
    for event in events:
        made.on_event(event)
    return made


def test_failed_and_cancelled_frames_are_listed_by_name() -> None:
    made = tally(
        UnitChanged(unit("a"), S.QUARANTINED, 3, "no picture"),
        UnitChanged(unit("b"), S.CANCELLED, 0, "it needs a, which failed"),
        UnitChanged(unit("c"), S.RETRY_WAIT, 1, "for now"),
        ended("d"),
    )
    assert made.failed == {"a": "no picture", "b": "it needs a, which failed"}
    assert (made.ended, made.done) == (3, 1)


def test_a_frame_that_is_tried_again_gives_its_progress_back() -> None:
    made = tally(
        progressed("a", 0.5, tiles=7),
        UnitChanged(unit("a"), S.RETRY_WAIT, 1, "worker died"),
    )
    assert made.running == {}
    assert made.tiles_so_far == 0


def test_time_left_counts_what_is_in_work_and_not_what_was_skipped() -> None:
    made = tally(UnitChanged(unit("a"), S.SKIPPED, 0), ended("b"), progressed("c", 0.5, tiles=2))
    assert made.seconds_left(30.0) == pytest.approx(30.0)
    assert made.megapixels_per_second(4.0) == pytest.approx(0.5)
    assert made.tiles_so_far == 5


def test_time_left_is_not_guessed_before_anything_is_done() -> None:
    assert tally().seconds_left(9.0) is None
    assert tally().megapixels_per_second(0.0) == 0


@given(st.lists(st.sampled_from([S.SUCCEEDED, S.SKIPPED, S.QUARANTINED, S.CANCELLED])))
def test_every_ended_frame_is_counted_once(ends: list[UnitState]) -> None:
    made = tally(
        *(UnitChanged(unit(str(i)), state, 1) for i, state in enumerate(ends)), total=len(ends)
    )
    assert made.ended == len(ends)
    assert made.seconds_left(1.0) in (None, 0.0)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "0 s"), (59.4, "59 s"), (65, "1:05"), (7200, "2:00:00")]
)
def test_durations_are_said_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


SPEC = JobSpec(task="dim", inputs=("a.png",), output="b.png")
EVENTS: dict[str, News] = {
    "job": JobChanged(Job("j1", SPEC, created=0)),
    "frame": UnitChanged(
        unit("a"), S.QUARANTINED, 2, "why", failure=Failure(Reason.MEMORY, "full")
    ),
    "progress": progressed("a", 0.5),
    "reading": ReadProgress("/a.mp4", 0.5),
    "note": Notice("/a.mp4", "sound is left out"),
    "worker": WorkerChanged("w1", "cpu", "idle"),
    "stale": StaleReport("w1", "t1"),
}


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_is_json_and_says_what_it_is(name: str) -> None:
    assert json.loads(json.dumps(as_dict(EVENTS[name])))["event"] == name
