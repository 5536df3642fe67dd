"""The scheduler's guarantees: events in, instructions out."""

import pytest

from farm.errors import FarmBug, UnknownName
from farm.model.events import (
    CancelWork,
    KillWorker,
    Progressed,
    StaleReport,
    Stopping,
    Tick,
    WantedChanged,
)
from farm.model.history import RestoredUnit
from farm.model.job import JobState, Wanted
from farm.model.messages import Figures, Reason, UnitProgress, UnitStarted, UnitSucceeded
from farm.model.unit import Unit, UnitState

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms

S = UnitState


def test_units_are_assigned_in_order_one_per_worker(bench: Bench) -> None:
    bench.submit()
    bench.join("w1", "w2")
    assert bench.units_of("w1", "w2") == ["a", "b"]
    assert len({order.token for order in bench.held.values()}) == 2


def test_a_unit_moves_from_ready_to_succeeded(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    bench.succeed("w1")
    assert bench.states("a") == [S.LEASED, S.RUNNING, S.SUCCEEDED]
    assert bench.job() == (JobState.COMPLETED, "")
    assert bench.scheduler.is_done


def test_a_job_is_queued_until_its_first_unit_is_placed(bench: Bench) -> None:
    bench.submit()
    assert bench.job()[0] is JobState.QUEUED
    bench.join("w1")
    assert bench.job()[0] is JobState.RUNNING


def test_the_job_with_the_higher_priority_runs_first(bench: Bench) -> None:
    bench.submit("low", priority=10)
    bench.submit("high", priority=90)
    bench.join("w1")
    assert bench.held["w1"].unit.job == "high"


def test_jobs_of_equal_priority_share_the_workers_oldest_first(bench: Bench) -> None:
    bench.submit("old", *"abcdef")
    bench.submit("new", *"abcdef")
    bench.join("w1", "w2", "w3", "w4")
    assert [order.unit.job for order in bench.held.values()] == ["old", "new", "old", "new"]


def test_progress_is_reported(bench: Bench) -> None:
    bench.submit()
    bench.join("w1")
    progress = UnitProgress("w1", bench.held["w1"].token, 0.5, "octave 2")
    assert bench.send(progress) == [Progressed(bench.held["w1"].unit, progress)]


# Failures


def test_a_failed_unit_is_retried_at_once_on_a_worker_it_has_not_failed_on(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1", "w2")
    bench.fail("w1", failed())
    assert bench.units_of("w2") == ["a"]
    assert bench.held["w2"].attempt == 2


def test_the_only_worker_retries_its_own_failure(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.fail("w1", failed())
    assert bench.units_of("w1") == ["a"]


def test_a_failed_unit_waits_for_a_busy_worker_instead_of_going_back_to_the_one_it_failed_on(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1", "w2")
    bench.fail("w1", failed())
    assert "w1" not in bench.held
    bench.succeed("w2")
    assert bench.units_of("w2") == ["a"]


@pytest.mark.parametrize(
    ("reason", "tries"),
    [
        (Reason.PLUGIN_ERROR, 3),
        (Reason.USER_ERROR, 3),
        (Reason.STORAGE, 5),
        (Reason.MEMORY, 2),
        (Reason.BUG, 1),
    ],
)
def test_each_reason_has_its_own_budget(bench: Bench, reason: Reason, tries: int) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for _ in range(tries):
        assert not bench.job()[0].is_final
        bench.fail("w1", failed(reason))
        bench.clock.advance(100)
        bench.send(Tick())
    assert (bench.last("a").state, bench.last("a").reason) == (
        S.QUARANTINED,
        f"failed with {reason}",
    )
    assert bench.job() == (JobState.FAILED, "no unit succeeded")


def test_the_budgets_are_independent(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for reason in (Reason.STORAGE, Reason.PLUGIN_ERROR, Reason.MEMORY, Reason.PLUGIN_ERROR):
        bench.fail("w1", failed(reason))
        bench.clock.advance(100)
        bench.send(Tick())
    assert bench.units_of("w1") == ["a"]
    assert bench.held["w1"].attempt == 5


def test_a_fatal_failure_is_not_retried(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    bench.succeed("w1")
    assert bench.states("a") == [S.LEASED, S.QUARANTINED]
    assert bench.job() == (JobState.COMPLETED, "1 of 2 failed")


def test_a_storage_failure_is_retried_after_a_delay(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.fail("w1", failed(Reason.STORAGE))
    bench.clock.advance(0.9)
    bench.send(Tick())
    assert bench.last("a").state is S.RETRY_WAIT
    bench.clock.advance(0.1)
    bench.send(Tick())
    assert bench.units_of("w1") == ["a"]


# Lost workers


def test_a_unit_that_kills_three_workers_is_quarantined_and_the_others_continue(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b")
    bench.join("w0")
    for death in range(1, 4):
        while bench.units_of(f"w{death - 1}") != ["a"]:
            bench.succeed(f"w{death - 1}")
        bench.start(f"w{death - 1}")
        bench.lose(f"w{death - 1}")
        bench.clock.advance(100)
        bench.join(f"w{death}")
    if "w3" in bench.held:
        bench.succeed("w3")
    assert bench.last("a").reason == "killed 3 workers; last failure: worker w2 died: killed"
    assert bench.last("b").state is S.SUCCEEDED
    assert bench.job() == (JobState.COMPLETED, "1 of 2 failed")


def test_a_worker_lost_before_the_unit_started_spends_the_larger_budget(bench: Bench) -> None:
    bench.submit("job", "a")
    for number in range(9):
        bench.join(f"w{number}")
        bench.lose(f"w{number}")
        bench.clock.advance(100)
        bench.send(Tick())
    assert bench.last("a").state is S.READY
    bench.join("w9")
    bench.lose("w9")
    assert bench.last("a").state is S.QUARANTINED


def test_the_unit_of_a_lost_worker_waits_before_its_retry(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1", "w2")
    bench.start("w1")
    bench.lose("w1")
    assert "w2" not in bench.held
    bench.clock.advance(1)
    bench.send(Tick())
    assert bench.units_of("w2") == ["a"]


def test_losing_an_idle_or_unknown_worker_has_no_cost(bench: Bench) -> None:
    bench.join("w1")
    bench.lose("w1")
    bench.lose("w1")
    assert bench.scheduler.worker_counts().total() == 0


def test_a_silent_worker_is_killed_and_its_unit_is_retried_once(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1", "w2")
    for worker in ("w1", "w2"):
        bench.start(worker)
        bench.clock.advance(1799)
        assert bench.send(Tick()) == []
        bench.clock.advance(1)
        assert bench.send(Tick()) == [KillWorker(worker)]
        assert bench.send(Tick()) == []
        bench.lose(worker)
        bench.clock.advance(1)
        bench.send(Tick())
    assert bench.last("a").state is S.QUARANTINED
    assert bench.last("a").reason == "worker w2 stopped responding"


def test_a_worker_that_is_being_killed_gets_no_more_units(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.start("w1")
    bench.clock.advance(1800)
    bench.send(Tick())
    bench.succeed("w1")
    assert bench.held == {}
    bench.lose("w1")
    bench.join("w2")
    assert bench.units_of("w2") == ["b"]
    assert bench.held["w2"].attempt == 1


def test_a_worker_that_keeps_reporting_is_not_killed(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for _ in range(5):
        bench.clock.advance(1799)
        bench.send(UnitProgress("w1", bench.held["w1"].token, 0.1))
        assert bench.send(Tick()) == []


def test_jobs_fail_after_five_minutes_without_workers(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.succeed("w1")
    bench.lose("w1")
    bench.clock.advance(299)
    bench.send(Tick())
    assert not bench.job()[0].is_final
    bench.clock.advance(1)
    bench.send(Tick())
    assert bench.job() == (JobState.FAILED, "no workers left; 1 of 2 units not finished")
    assert bench.last("b").reason == "no workers for 300 s; run `farm doctor`"


def test_a_new_job_gets_the_full_time_to_wait_for_workers(bench: Bench) -> None:
    bench.submit("early", "a")
    bench.join("w1")
    bench.succeed("w1")
    bench.lose("w1")
    bench.clock.advance(1000)
    bench.submit("late", "b")
    bench.send(Tick())
    assert not bench.job("late")[0].is_final
    bench.clock.advance(300)
    bench.send(Tick())
    assert bench.job("late")[0] is JobState.FAILED


def test_a_paused_job_waits_for_workers_forever(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.send(WantedChanged("job", Wanted.PAUSE))
    for _ in range(2):
        bench.send(Tick())
        bench.clock.advance(300)
    assert bench.job()[0] is JobState.PAUSED
    bench.send(WantedChanged("job", Wanted.RUN))
    bench.send(Tick())
    bench.join("w1")
    assert bench.units_of("w1") == ["a"]


def test_a_worker_that_joins_in_time_saves_the_job(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.send(Tick())
    bench.clock.advance(299)
    bench.join("w1")
    bench.clock.advance(299)
    bench.send(Tick())
    assert bench.units_of("w1") == ["a"]


# Leases


def test_a_report_under_an_old_lease_is_dropped(bench: Bench) -> None:
    bench.submit()
    bench.join("w1")
    old = bench.held["w1"]
    bench.succeed("w1")
    assert bench.send(UnitSucceeded("w1", old.token, Figures())) == [StaleReport("w1", old.token)]
    assert bench.last("b").state is S.LEASED


def test_a_success_reported_by_a_lost_worker_is_dropped_and_the_unit_runs_again(
    bench: Bench,
) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    old = bench.held["w1"]
    bench.lose("w1")
    report = UnitSucceeded("w1", old.token, Figures())
    assert bench.send(report) == [StaleReport("w1", old.token)]
    bench.clock.advance(1)
    bench.join("w2")
    assert bench.units_of("w2") == ["a"]


def test_a_worker_cannot_report_under_the_lease_of_another(bench: Bench) -> None:
    bench.submit()
    bench.join("w1", "w2")
    token = bench.held["w1"].token
    assert bench.send(UnitStarted("w2", token)) == [StaleReport("w2", token)]


# The blocklist


def test_a_worker_that_keeps_failing_a_job_is_blocked_from_it_until_forgiven(bench: Bench) -> None:
    bench.submit("job", *"abcdefgh")
    bench.submit("other", "x", priority=0)
    bench.join("good", "bad")
    for _ in range(3):
        assert bench.held["bad"].unit.job == "job"
        bench.fail("bad", failed())
    assert bench.units_of("bad") == ["x"]
    bench.succeed("bad")
    assert "bad" not in bench.held
    bench.clock.advance(1800)
    bench.send(Tick())
    assert bench.held["bad"].unit.job == "job"


def test_a_success_resets_a_workers_failures(bench: Bench) -> None:
    bench.submit("job", *"abcdefghij")
    bench.join("good", "bad")
    for _ in range(4):
        bench.fail("bad", failed())
        bench.succeed("bad")
    assert "bad" in bench.held


def test_fatal_failures_do_not_count_against_the_worker(bench: Bench) -> None:
    bench.submit("job", *"abcdefgh")
    bench.join("w1", "w2")
    for _ in range(5):
        bench.fail("w1", failed(is_fatal=True))
    assert "w1" in bench.held


def test_the_only_worker_is_never_blocked(bench: Bench) -> None:
    bench.submit("job", *"abcdefgh")
    bench.join("w1")
    for _ in range(5):
        bench.fail("w1", failed())
    assert "w1" in bench.held


def test_a_unit_does_not_wait_for_a_worker_that_is_blocked_from_its_job(bench: Bench) -> None:
    bench.submit("job", *"abcdefgh")
    bench.join("w1", "off")
    for _ in range(3):
        bench.fail("off", failed())
    assert "off" not in bench.held
    while "w1" in bench.held and bench.units_of("w1") != ["e"]:
        bench.succeed("w1")
    bench.fail("w1", failed())
    while "w1" in bench.held:
        bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


# Dependencies


def test_a_unit_waits_for_all_units_that_it_needs(bench: Bench) -> None:
    bench.submit("job", "mux", "a", "b", needs={"mux": "ab"})
    bench.join("w1", "w2")
    assert bench.units_of("w1", "w2") == ["a", "b"]
    bench.succeed("w1")
    assert "w1" not in bench.held
    bench.succeed("w2")
    assert bench.units_of("w1") == ["mux"]


def test_a_failed_unit_cancels_the_units_that_depend_on_it_and_is_named_in_the_reason(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b", "mux", "sheet", needs={"mux": "ab", "sheet": ["mux"]})
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    assert bench.last("mux").state is S.CANCELLED
    assert bench.last("mux").reason == "depends on a, which was quarantined"
    assert bench.last("sheet").reason == "depends on mux, which was cancelled"
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "3 of 4 failed")


def test_a_need_outside_the_job_is_a_bug(bench: Bench) -> None:
    with pytest.raises(FarmBug, match="unit mux needs z, which the job does not contain"):
        bench.submit("job", "mux", needs={"mux": ["z"]})


# Pause and cancel


def test_a_paused_job_finishes_its_running_units_and_starts_no_others_until_it_continues(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.PAUSE))
    assert bench.job()[0] is JobState.RUNNING
    bench.succeed("w1")
    assert "w1" not in bench.held
    assert bench.job()[0] is JobState.PAUSED
    bench.send(WantedChanged("job", Wanted.RUN))
    assert bench.units_of("w1") == ["b"]


def test_cancelling_a_job_stops_running_units_and_cancels_waiting_ones(bench: Bench) -> None:
    bench.submit("job", "a", "b", "mux", needs={"mux": "ab"})
    bench.join("w1")
    assert CancelWork("w1") in bench.send(WantedChanged("job", Wanted.CANCEL))
    assert bench.last("b").state is bench.last("mux").state is S.CANCELLED
    bench.confirm_cancel("w1")
    assert bench.job() == (JobState.CANCELLED, "cancelled")
    assert bench.last("a").by == "user"


def test_a_cancelled_job_cannot_continue(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    bench.send(WantedChanged("job", Wanted.RUN))
    bench.confirm_cancel("w1")
    assert bench.job()[0] is JobState.CANCELLED


def test_a_unit_that_succeeds_while_being_cancelled_counts_as_succeeded(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    bench.succeed("w1")
    assert bench.last("a").state is S.SUCCEEDED


def test_a_worker_that_ignores_a_cancellation_is_killed(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    bench.clock.advance(30)
    assert bench.send(Tick()) == [KillWorker("w1")]
    bench.lose("w1")
    assert bench.job()[0] is JobState.CANCELLED


def test_an_unknown_job_is_refused(bench: Bench) -> None:
    bench.submit("dream-12")
    with pytest.raises(UnknownName, match="unknown job 'dream-21'; did you mean dream-12"):
        bench.send(WantedChanged("dream-21", Wanted.PAUSE))


# Stopping and resuming


def test_stopping_the_farm_stops_running_units_and_keeps_them_ready(bench: Bench) -> None:
    bench.submit()
    bench.join("w1")
    assert bench.send(Stopping()) == [CancelWork("w1")]
    bench.confirm_cancel("w1")
    assert bench.last("a").state is S.READY
    assert bench.held == {}
    assert bench.scheduler.busy_workers() == []
    assert not bench.job()[0].is_final


def test_a_worker_lost_while_stopping_spends_no_try(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    bench.send(Stopping())
    bench.lose("w1")
    assert bench.last("a").state is S.READY
    assert bench.last("a").failure is None


def restored(name: str, state: UnitState, *failures: Reason, needs: str = "") -> RestoredUnit:
    return RestoredUnit(Unit("job", name, name, name, tuple(needs)), state, len(failures), failures)


def test_a_unit_that_was_running_when_the_farm_exited_is_retried(bench: Bench) -> None:
    bench.submit_restored(
        "job", [restored("a", S.RUNNING), restored("b", S.SUCCEEDED), restored("c", S.RETRY_WAIT)]
    )
    bench.join("w1")
    assert bench.states("a") == [S.RETRY_WAIT]
    assert bench.units_of("w1") == ["c"]
    bench.clock.advance(1)
    bench.succeed("w1")
    assert bench.units_of("w1") == ["a"]
    assert bench.states("b") == []


def test_a_unit_that_was_running_when_three_farms_exited_is_quarantined(bench: Bench) -> None:
    died = Reason.WORKER_DIED
    bench.submit_restored("job", [restored("a", S.RUNNING, died, died), restored("b", S.READY)])
    assert bench.last("a").state is S.QUARANTINED
    assert bench.last("a").reason == "killed 3 workers; last failure: the farm exited"
    bench.join("w1")
    assert bench.units_of("w1") == ["b"]


def test_a_skipped_unit_counts_as_done(bench: Bench) -> None:
    bench.submit_restored("job", [restored("a", S.SKIPPED), restored("mux", S.BLOCKED, needs="a")])
    bench.join("w1")
    assert bench.states("a") == [S.SKIPPED]
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


def test_a_job_whose_units_are_all_skipped_completes_at_once(bench: Bench) -> None:
    bench.submit_restored("job", [restored("a", S.SKIPPED), restored("b", S.SKIPPED)])
    assert bench.job() == (JobState.COMPLETED, "")


# Bugs


def test_a_worker_that_joins_twice_is_a_bug(bench: Bench) -> None:
    bench.join("w1")
    with pytest.raises(FarmBug, match="worker w1 joined twice"):
        bench.join("w1")


def test_a_job_submitted_twice_is_a_bug(bench: Bench) -> None:
    bench.submit("job")
    with pytest.raises(FarmBug, match="job job was submitted twice"):
        bench.submit("job")


def test_an_illegal_change_of_state_is_a_bug_with_the_units_history(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    with pytest.raises(
        FarmBug, match=r"unit a cannot change from running to running\n.*ready -> leased w1\n"
    ):
        bench.start("w1")


def test_time_stands_still_while_the_clock_is_set_back(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.clock.advance(-1000)
    bench.join("w1")
    assert bench.last("a").waited == 0
