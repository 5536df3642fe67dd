"""The time left is told from work alone, and not from what a job loads before it."""

import pytest

from farm.cli.pace import Pace
from farm.cli.tally import Tally
from farm.model.events import News, Progressed, UnitChanged
from farm.model.messages import UnitProgress
from farm.model.unit import Unit, UnitState


class Job:
    """The pace of a job of four frames, and a clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tally = Tally(total=4)
        self.pace = Pace(self.tally, lambda: self.now)

    def hear(self, now: float, *events: News) -> float | None:
        """Return the seconds left after some events at a time."""
        self.now = now
        for event in events:
            self.tally.on_event(event)
            self.pace.on_event(event)
        return self.pace.seconds_left()


def unit(name: str) -> Unit:
    return Unit("j1", name, f"{name}.jpg", f"{name}.png")


def now(name: str, state: UnitState) -> UnitChanged:
    return UnitChanged(unit(name), state, 1)


def done(name: str, share: float) -> Progressed:
    return Progressed(unit(name), UnitProgress("w1", "t1", share))


def test_the_time_before_the_first_progress_does_not_count() -> None:
    job = Job()
    assert job.hear(40, now("a", UnitState.RUNNING)) is None
    assert job.hear(70, done("a", 0.0)) is None
    assert job.hear(75, done("a", 0.25)) is None
    assert job.hear(80, done("a", 0.5)) == pytest.approx(5 / 0.25 * 3.5)
    assert job.hear(90, now("a", UnitState.SUCCEEDED)) == pytest.approx(15 / 0.75 * 3)


def test_the_time_of_frames_without_progress_counts_from_where_the_first_one_begins() -> None:
    job = Job()
    job.hear(40, now("a", UnitState.RUNNING), now("b", UnitState.RUNNING))
    assert job.hear(60, now("a", UnitState.SUCCEEDED)) == pytest.approx(60)
    assert job.hear(60, now("b", UnitState.SUCCEEDED)) == pytest.approx(20)


def test_frames_of_an_earlier_job_take_no_time() -> None:
    job = Job()
    job.hear(1, now("a", UnitState.SKIPPED), now("b", UnitState.SKIPPED))
    job.hear(40, now("c", UnitState.RUNNING))
    assert job.hear(50, now("c", UnitState.SUCCEEDED)) == pytest.approx(10)


def test_the_time_left_is_unknown_again_if_what_was_done_is_lost() -> None:
    job = Job()
    job.hear(10, now("a", UnitState.RUNNING), done("a", 0.5))
    assert job.hear(20, now("a", UnitState.RETRY_WAIT)) is None
