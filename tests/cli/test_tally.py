"""The displays' numbers: counts that add up, speed, and an estimate of the time left."""

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.cli.display import as_dict, duration
from farm.cli.tally import Tally
from farm.model.events import (
    FilesMoved,
    JobChanged,
    News,
    Notice,
    Progressed,
    ReadProgress,
    StaleReport,
    UnitChanged,
    UnitsCancelled,
    WorkerChanged,
    one_by_one,
)
from farm.model.film import FilmFormat
from farm.model.job import Job, JobSpec
from farm.model.messages import Failure, Figures, Reason, UnitProgress
from farm.model.transfers import Transfers
from farm.model.unit import Unit, UnitState
from farm.model.work import Join

S = UnitState


def unit(name: str) -> Unit:
    return Unit("j1", name, f"{name}.jpg", f"{name}.png")


def ended(name: str) -> UnitChanged:
    return UnitChanged(unit(name), S.SUCCEEDED, 1, figures=Figures(pixels=2_000_000, tiles=3))


def progressed(name: str, done: float, tiles: int = 0) -> Progressed:
    return Progressed(unit(name), UnitProgress("w1", "t1", done, tiles=tiles))


def tally(*events: News, total: int = 4) -> Tally:
    counts = Tally(total=total)
    for event in events:
        counts.on_event(event)
    return counts


def test_failed_and_cancelled_frames_are_listed_by_name() -> None:
    counts = tally(
        UnitChanged(unit("a"), S.QUARANTINED, 3, "no picture"),
        UnitChanged(unit("b"), S.CANCELLED, 0, "it needs a, which failed"),
        UnitChanged(unit("c"), S.RETRY_WAIT, 1, "for now"),
        ended("d"),
    )
    assert counts.failed == {"a": "no picture", "b": "it needs a, which failed"}
    assert (counts.ended, counts.done) == (3, 1)


def failed(name: str, reason: str) -> UnitChanged:
    return UnitChanged(unit(name), S.QUARANTINED, 3, reason)


def test_what_many_frames_failed_for_is_one_line_that_names_some_and_counts_the_rest() -> None:
    counts = tally(*(failed(name, "no picture") for name in "abcdefg"), failed("h", "no colour"))
    assert [*counts.failure_lines()] == [
        "failed: a, b, c, d, e and 2 more: no picture",
        "failed: h: no colour",
    ]


def test_what_the_reason_of_a_failed_job_says_is_not_said_of_its_frames_again() -> None:
    given_up = UnitsCancelled("j1", (unit("c"), unit("d")), (0, 0), "not tried", "policy")
    counts = tally(failed("a", "no picture"), failed("b", "no colour"), given_up)
    assert [*counts.failure_lines("its first frame failed: no picture; 4 of 4 units")] == [
        "failed: b: no colour"
    ]


def test_parts_of_a_film_that_fail_with_its_frames_are_not_counted_as_frames() -> None:
    part = Unit("j1", "part", "", "part.mp4", work=Join((), FilmFormat("h264")), is_working=True)
    counts = tally(failed("a", "no picture"), UnitChanged(part, S.CANCELLED, 0, "depends on a"))
    assert (counts.ended, len(counts.failed_frames), len(counts.failed)) == (1, 1, 2)


def test_a_failed_frame_that_is_tried_again_is_no_longer_listed() -> None:
    counts = tally(
        UnitChanged(unit("a"), S.QUARANTINED, 3, "no picture"),
        UnitChanged(unit("a"), S.READY, 3),
        ended("a"),
    )
    assert counts.failed == {}
    assert (counts.ended, counts.done) == (1, 1)


def test_a_retried_frame_loses_its_progress() -> None:
    counts = tally(
        progressed("a", 0.5, tiles=7),
        UnitChanged(unit("a"), S.RETRY_WAIT, 1, "worker died"),
    )
    assert counts.running == {}
    assert counts.tiles_so_far == 0


def test_progress_counts_parts_of_frames_but_not_skipped_ones() -> None:
    counts = tally(UnitChanged(unit("a"), S.SKIPPED, 0), ended("b"), progressed("c", 0.5, tiles=2))
    assert counts.progress == 1.5
    assert counts.megapixels_per_second(4.0) == pytest.approx(0.5)
    assert counts.tiles_so_far == 5


def test_units_that_are_cancelled_at_once_count_as_each_of_them() -> None:
    cancelled = UnitsCancelled("j1", (unit("a"), unit("b")), (0, 2), "cancelled", "user")
    assert [*one_by_one(cancelled)] == [
        UnitChanged(unit("a"), S.CANCELLED, 0, "cancelled", "user"),
        UnitChanged(unit("b"), S.CANCELLED, 2, "cancelled", "user"),
    ]
    assert tally(cancelled).failed == {"a": "cancelled", "b": "cancelled"}


def test_nothing_is_fast_before_it_has_begun() -> None:
    assert tally().megapixels_per_second(0.0) == 0


@given(st.lists(st.sampled_from([S.SUCCEEDED, S.SKIPPED, S.QUARANTINED, S.CANCELLED])))
def test_every_final_frame_is_counted_once(ends: list[UnitState]) -> None:
    counts = tally(
        *(UnitChanged(unit(str(i)), state, 1) for i, state in enumerate(ends)), total=len(ends)
    )
    assert counts.ended == len(ends)
    assert counts.progress + counts.skipped == len(ends)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (65, "1:05"), (7200, "2:00:00")]
)
def test_durations_are_formatted_for_people(seconds: float, text: str) -> None:
    assert duration(seconds) == text


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
    "moved": FilesMoved((Transfers("s3", "read", 1, 7, 0.5),)),
}


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_becomes_json_with_its_name(name: str) -> None:
    assert {type(event) for event in EVENTS.values()} == {*get_args(News)} - {UnitsCancelled}
    assert json.loads(json.dumps(as_dict(EVENTS[name])))["event"] == name
