"""Users change the priority of jobs and have failed units tried again."""

from dataclasses import replace

import pytest

from farm.errors import Conflict, FarmBug, UnknownName
from farm.model.events import (
    JobChanged,
    JobReopened,
    PriorityChanged,
    RetryWanted,
    WantedChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import JobState, Wanted
from farm.model.messages import Reason
from farm.model.unit import Unit, UnitState
from farm.scheduling.policy import Policy

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms

S = UnitState


def fail_for_good(bench: Bench, worker: str = "w1") -> None:
    bench.fail(worker, failed(is_fatal=True))


def test_a_job_with_a_new_priority_goes_first(bench: Bench) -> None:
    bench.submit("first", *"abc")
    bench.submit("second", *"xyz")
    bench.join("w1")
    out = bench.send(PriorityChanged("second", 90))
    assert [i.job.spec.priority for i in out if isinstance(i, JobChanged)] == [90]
    bench.succeed("w1")
    assert bench.job_of("w1") == "second"
    bench.send(PriorityChanged("second", 10))
    bench.succeed("w1")
    assert bench.job_of("w1") == "first"


def test_the_priority_of_an_ended_job_stays_and_that_of_an_unknown_one_is_refused(
    bench: Bench,
) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.succeed("w1")
    assert bench.send(PriorityChanged("job", 90)) == []
    with pytest.raises(UnknownName, match=r"unknown job 'jab'.* `farm jobs` lists them all$"):
        bench.send(PriorityChanged("jab", 90))


def test_failed_units_are_tried_again_with_all_their_tries(bench: Bench) -> None:
    bench.submit("job", "a", "b", "c")
    bench.join("w1", "w2")
    for _ in range(2):
        bench.fail("w1", failed(Reason.BUG))
    assert bench.last("a").state is S.QUARANTINED
    bench.send(RetryWanted("job", ("a",)))
    assert [(c.state, c.by) for c in bench.changes("a")][-2:] == [
        (S.READY, "user"),
        (S.LEASED, "policy"),
    ]
    while bench.held:
        bench.succeed(next(iter(bench.held)))
    assert bench.last("a").state is S.SUCCEEDED
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "1 of 3 units failed")


def test_a_job_says_since_when_it_is_in_its_state(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    started = bench.clock.time()
    bench.pass_time(10)
    assert bench.scheduler.job("job").since == started
    bench.send(WantedChanged("job", Wanted.PAUSE))
    bench.pass_time(10)
    bench.succeed("w1")
    paused = bench.clock.time()
    bench.pass_time(10)
    job = bench.scheduler.job("job")
    assert (job.state, job.since) == (JobState.PAUSED, paused)
    bench.send(WantedChanged("job", Wanted.RUN))
    assert bench.scheduler.job("job").since == paused + 10


def test_another_reason_is_no_other_state() -> None:
    bench = Bench(Policy(waits_for_workers=True))
    bench.submit("job", "a")
    bench.join("w1")
    started = bench.clock.time()
    bench.pass_time(10)
    bench.lose("w1")
    bench.pass_time(3600)
    job = bench.scheduler.job("job")
    assert job.reason.startswith("waits for workers")
    assert (job.state, job.since) == (JobState.RUNNING, started)


def test_all_failed_units_are_tried_again_if_none_is_named(bench: Bench) -> None:
    bench.submit("job", "a", "b", "c")
    bench.join("w1")
    fail_for_good(bench)
    fail_for_good(bench)
    bench.send(RetryWanted("job"))
    for _ in range(3):
        bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


def test_a_retry_says_how_many_deaths_of_farms_still_count(bench: Bench) -> None:
    suspect = RestoredUnit(Unit("job", "a", "s", "a"), S.READY, crashes=7)
    bench.submit_restored("job", [suspect])
    bench.join("w1")
    job, failed_one = bench.scheduler.job("job"), replace(suspect, state=S.QUARANTINED)
    bench.send(JobReopened(job, (failed_one,), RetryWanted("job")))
    told = [(change.state, change.crashes) for change in bench.changes("a")]
    assert told == [(S.QUARANTINED, None), (S.READY, 1), (S.LEASED, None)]


def test_units_that_were_cancelled_because_of_a_failed_one_wait_for_it_again(bench: Bench) -> None:
    bench.submit("job", "a", "b", "c", "part", "film", needs={"part": "ab", "film": ["part"]})
    bench.join("w1")
    fail_for_good(bench)
    fail_for_good(bench)
    assert bench.last("film").state is S.CANCELLED
    bench.send(RetryWanted("job", ("a",)))
    assert bench.last("part").state is S.CANCELLED
    bench.send(RetryWanted("job", ("b",)))
    assert bench.last("part").state is bench.last("film").state is S.BLOCKED
    while bench.held:
        bench.succeed("w1")
    assert bench.last("film").state is S.SUCCEEDED
    assert bench.job() == (JobState.COMPLETED, "")


def test_a_retry_that_fails_cancels_the_others_again(bench: Bench) -> None:
    bench.submit("job", "a", "b", "film", needs={"film": "a"})
    bench.join("w1")
    fail_for_good(bench)
    bench.send(RetryWanted("job"))
    bench.succeed("w1")
    fail_for_good(bench)
    assert bench.last("film").state is S.CANCELLED
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "2 of 3 units failed")


def test_a_unit_that_could_start_without_a_failed_one_waits_for_its_retry(bench: Bench) -> None:
    film = Unit("job", "film", "s", "film", ("a",), is_tolerant=True)
    units = [RestoredUnit(Unit("job", name, "s", name), S.READY) for name in ("a", "b")]
    bench.submit_restored("job", [*units, RestoredUnit(film, S.BLOCKED)])
    bench.join("w1")
    fail_for_good(bench)
    assert bench.last("film").state is S.READY
    bench.send(RetryWanted("job"))
    assert bench.last("film").state is S.BLOCKED
    bench.succeed("w1")
    bench.succeed("w1")
    assert bench.held["w1"].missing == ()
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


def film(bench: Bench) -> None:
    """Submit a film of two parts of two frames each."""
    parts = {"part1": "ab", "part2": "cd", "film": ["part1", "part2"]}
    bench.submit("job", *"abcd", "part1", "part2", "film", needs=parts)
    bench.join("w1")


def test_a_unit_is_redone_with_what_needs_it(bench: Bench) -> None:
    film(bench)
    for _ in range(5):
        bench.succeed("w1")
    assert bench.units_of("w1") == ["part2"]
    bench.send(RetryWanted("job", ("a",), is_redo=True))
    assert [bench.states(name)[-1] for name in ("a", "part1")] == [S.READY, S.BLOCKED]
    done = []
    while bench.held:
        done += bench.units_of("w1")
        bench.succeed("w1")
    assert done == ["part2", "a", "part1", "film"]
    assert bench.job() == (JobState.COMPLETED, "")


def test_what_a_redone_unit_needs_is_made_again_if_it_is_gone(bench: Bench) -> None:
    film(bench)
    for _ in range(5):
        bench.succeed("w1")
    bench.send(RetryWanted("job", ("a",), is_redo=True, gone=frozenset("abc")))
    done = []
    while bench.held:
        done += bench.units_of("w1")
        bench.succeed("w1")
    assert done == ["part2", "a", "b", "part1", "film"]


def test_a_unit_is_not_redone_while_another_is_made_from_it(bench: Bench) -> None:
    film(bench)
    for _ in range(4):
        bench.succeed("w1")
    assert bench.units_of("w1") == ["part1"]
    with pytest.raises(Conflict, match="part1 is being made from a"):
        bench.send(RetryWanted("job", ("a",), is_redo=True))
    bench.scheduler.validate()
    assert bench.last("a").state is S.SUCCEEDED


def test_a_job_that_is_still_there_is_not_reopened(bench: Bench) -> None:
    film(bench)
    job = bench.scheduler.job("job")
    with pytest.raises(FarmBug, match="submitted twice"):
        bench.send(JobReopened(job, (), RetryWanted("job")))


def test_a_retry_of_a_unit_that_the_job_lacks_and_of_a_job_that_is_ending_is_refused(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b", "c")
    bench.join("w1", "w2")
    fail_for_good(bench)
    with pytest.raises(UnknownName, match="unknown unit 'z'"):
        bench.send(RetryWanted("job", ("z",)))
    bench.send(WantedChanged("job", Wanted.CANCEL))
    with pytest.raises(Conflict, match="job job is ending; ask again when it has ended"):
        bench.send(RetryWanted("job"))
    assert bench.last("a").state is S.QUARANTINED


def test_only_the_last_records_of_ended_jobs_are_kept() -> None:
    bench = Bench(Policy(kept_records=2))
    bench.join("w1")
    for name in ("old", "middle", "new"):
        bench.submit(name, "a")
        bench.succeed("w1")
    assert bench.job("middle")[0] is bench.job("new")[0] is JobState.COMPLETED
    with pytest.raises(UnknownName):
        bench.job("old")
    assert bench.scheduler.job_counts()[JobState.COMPLETED] == 3
