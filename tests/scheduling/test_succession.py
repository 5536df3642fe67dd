"""Jobs wait for others to complete, say which, and go on as soon as all have."""

import pytest

from farm.errors import FarmBug
from farm.model.events import EarlierJob, JobChanged, PriorityChanged, WantedChanged
from farm.model.job import JobState, Wanted
from farm.scheduling.policy import Policy

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms


def test_a_job_starts_when_all_that_it_waits_for_have_completed(bench: Bench) -> None:
    bench.submit("first", "a")
    bench.submit("second", "b")
    bench.submit("last", "c", after=["first", "second"])
    bench.join("w1", "w2", "w3")
    assert bench.job("last") == (JobState.QUEUED, "waits for job first and 1 other")
    assert set(bench.held) == {"w1", "w2"}
    bench.succeed("w1")
    assert bench.job("last") == (JobState.QUEUED, "waits for job second")
    bench.succeed("w2")
    assert bench.job("last") == (JobState.RUNNING, "")
    assert bench.units_of(*bench.held) == ["c"]


def test_what_waits_is_no_demand_for_workers(bench: Bench) -> None:
    bench.submit("first", "a")
    bench.submit("last", *"bcd", after=["first"])
    assert bench.scheduler.wanted_workers() == 1
    bench.join("w1")
    bench.succeed("w1")
    assert bench.scheduler.wanted_workers() == 3


@pytest.mark.parametrize(
    ("is_cancelled", "what"), [(False, "which failed"), (True, "which was cancelled")]
)
def test_a_job_waits_for_one_that_failed_and_says_what_can_be_done(
    bench: Bench, *, is_cancelled: bool, what: str
) -> None:
    bench.submit("first", "a")
    bench.submit("last", "b", after=["first"])
    bench.join("w1")
    if is_cancelled:
        bench.send(WantedChanged("first", Wanted.CANCEL))
        bench.confirm_cancel("w1")
    else:
        bench.fail("w1", failed(is_fatal=True))
    reason = f"waits for job first, {what}; retry it, or cancel this job"
    assert bench.job("last") == (JobState.QUEUED, reason)
    bench.send(EarlierJob("first", JobState.RUNNING))
    assert bench.job("last") == (JobState.QUEUED, "waits for job first")
    bench.send(EarlierJob("first", JobState.COMPLETED))
    assert bench.units_of("w1") == ["b"]


def test_a_job_whose_frames_failed_in_part_has_completed(bench: Bench) -> None:
    bench.submit("first", "a", "b")
    bench.submit("last", "c", after=["first"])
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    bench.succeed("w1")
    assert bench.units_of("w1") == ["c"]


def test_a_job_that_has_completed_already_is_not_waited_for(bench: Bench) -> None:
    bench.submit("first", "a")
    bench.join("w1")
    bench.succeed("w1")
    bench.submit("last", "b", after=["first"])
    assert bench.units_of("w1") == ["b"]


def test_a_job_waits_until_it_is_known_what_has_become_of_one_that_ran_elsewhere(
    bench: Bench,
) -> None:
    bench.join("w1")
    bench.submit("last", "b", after=["elsewhere"])
    assert bench.scheduler.awaited() == ["elsewhere"]
    bench.send(EarlierJob("elsewhere", JobState.COMPLETED))
    assert bench.scheduler.awaited() == []
    assert bench.units_of("w1") == ["b"]


def test_what_runs_here_is_better_known_here(bench: Bench) -> None:
    bench.submit("first", "a")
    bench.submit("last", "b", after=["first"])
    bench.send(EarlierJob("first", JobState.COMPLETED))
    assert bench.job("last") == (JobState.QUEUED, "waits for job first")


def test_jobs_follow_each_other_in_a_chain(bench: Bench) -> None:
    bench.join("w1")
    bench.submit("0", "u0")
    for number in range(1, 5):
        bench.submit(f"{number}", f"u{number}", after=[f"{number - 1}"])
    for number in range(5):
        assert bench.units_of("w1") == [f"u{number}"]
        bench.succeed("w1")


def test_a_job_can_be_cancelled_and_changed_while_it_waits(bench: Bench) -> None:
    bench.submit("first", "a")
    bench.submit("last", "b", after=["first"])
    bench.submit("other", "c", after=["first"])
    bench.send(PriorityChanged("other", 90))
    bench.send(WantedChanged("last", Wanted.CANCEL))
    assert bench.job("last") == (JobState.CANCELLED, "cancelled")
    bench.join("w1")
    bench.succeed("w1")
    assert bench.units_of("w1") == ["c"]


def test_a_paused_job_stays_paused_when_its_turn_comes(bench: Bench) -> None:
    bench.submit("first", "a")
    bench.submit("last", "b", after=["first"])
    bench.send(WantedChanged("last", Wanted.PAUSE))
    bench.join("w1")
    bench.succeed("w1")
    assert bench.job("last") == (JobState.PAUSED, "paused")
    bench.send(WantedChanged("last", Wanted.RUN))
    assert bench.units_of("w1") == ["b"]


def test_a_job_that_waits_does_not_fail_for_want_of_workers() -> None:
    bench = Bench(Policy(no_workers_seconds=60.0))
    bench.submit("last", "b", after=["elsewhere"])
    bench.pass_time(1000)
    bench.pass_time(1000)
    assert bench.job("last")[0] is JobState.QUEUED


def test_a_job_says_only_once_what_it_waits_for(bench: Bench) -> None:
    bench.submit("last", "b", after=["elsewhere"])
    out = bench.send(EarlierJob("elsewhere", JobState.RUNNING))
    assert not [change for change in out if isinstance(change, JobChanged)]


def test_an_inconsistency_is_noticed(bench: Bench) -> None:
    bench.submit("last", "b", after=["elsewhere"])
    bench.scheduler._state.jobs["last"].awaited.clear()
    with pytest.raises(FarmBug, match="wait for others"):
        bench.scheduler.validate()
    bench.validates = False
