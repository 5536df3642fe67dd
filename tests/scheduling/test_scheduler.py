"""Events in, instructions out: what the farm's users rely on."""

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


def test_units_go_out_in_their_order_one_to_a_worker(bench: Bench) -> None:
    bench.submit()
    bench.join("w1", "w2")
    assert bench.units_of("w1", "w2") == ["a", "b"]
    assert len({order.token for order in bench.held.values()}) == 2


def test_a_unit_goes_from_ready_to_succeeded(bench: Bench) -> None:
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


def test_higher_priority_goes_first(bench: Bench) -> None:
    bench.submit("low", priority=10)
    bench.submit("high", priority=90)
    bench.join("w1")
    assert bench.held["w1"].unit.job == "high"


def test_equal_jobs_share_the_workers_the_older_first(bench: Bench) -> None:
    bench.submit("old", *"abcdef")
    bench.submit("new", *"abcdef")
    bench.join("w1", "w2", "w3", "w4")
    assert [order.unit.job for order in bench.held.values()] == ["old", "new", "old", "new"]


def test_progress_is_told(bench: Bench) -> None:
    bench.submit()
    bench.join("w1")
    progress = UnitProgress("w1", bench.held["w1"].token, 0.5, "octave 2")
    assert bench.send(progress) == [Progressed(bench.held["w1"].unit, progress)]


# Failures


def test_a_failed_unit_goes_at_once_to_a_worker_that_has_not_failed_at_it(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1", "w2")
    bench.fail("w1", failed())
    assert bench.units_of("w2") == ["a"]
    assert bench.held["w2"].attempt == 2


def test_a_lone_worker_tries_again_itself(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.fail("w1", failed())
    assert bench.units_of("w1") == ["a"]


def test_a_failed_unit_waits_for_a_busy_worker_rather_than_for_one_that_failed(
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
    assert (bench.last("a").state, bench.last("a").reason) == (S.QUARANTINED, f"{reason} it was")
    assert bench.job() == (JobState.FAILED, "no unit succeeded")


def test_one_budget_does_not_spend_another(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for reason in (Reason.STORAGE, Reason.PLUGIN_ERROR, Reason.MEMORY, Reason.PLUGIN_ERROR):
        bench.fail("w1", failed(reason))
        bench.clock.advance(100)
        bench.send(Tick())
    assert bench.units_of("w1") == ["a"]
    assert bench.held["w1"].attempt == 5


def test_what_no_attempt_can_help_is_not_tried_again(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    bench.succeed("w1")
    assert bench.states("a") == [S.LEASED, S.QUARANTINED]
    assert bench.job() == (JobState.COMPLETED, "1 of 2 failed")


def test_storage_that_fails_is_given_time(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.fail("w1", failed(Reason.STORAGE))
    bench.clock.advance(0.9)
    bench.send(Tick())
    assert bench.last("a").state is S.RETRY_WAIT
    bench.clock.advance(0.1)
    bench.send(Tick())
    assert bench.units_of("w1") == ["a"]


# Workers that die


def test_a_unit_that_kills_three_workers_is_set_aside_and_the_rest_goes_on(bench: Bench) -> None:
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
    assert bench.last("a").reason == "killed 3 workers; the last time: worker w2 died: shot"
    assert bench.last("b").state is S.SUCCEEDED
    assert bench.job() == (JobState.COMPLETED, "1 of 2 failed")


def test_a_worker_lost_before_the_unit_began_is_not_its_fault(bench: Bench) -> None:
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


def test_a_lost_workers_unit_waits_before_it_goes_elsewhere(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1", "w2")
    bench.start("w1")
    bench.lose("w1")
    assert "w2" not in bench.held
    bench.clock.advance(1)
    bench.send(Tick())
    assert bench.units_of("w2") == ["a"]


def test_losing_an_idle_or_unknown_worker_costs_nothing(bench: Bench) -> None:
    bench.join("w1")
    bench.lose("w1")
    bench.lose("w1")
    assert bench.scheduler.worker_counts().total() == 0


def test_a_silent_worker_is_ended_and_its_unit_goes_elsewhere_once(bench: Bench) -> None:
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
    assert bench.last("a").reason == "worker w2 said nothing for too long"


def test_a_worker_that_is_being_ended_gets_no_more_units(bench: Bench) -> None:
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


def test_a_word_in_time_keeps_a_worker(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for _ in range(5):
        bench.clock.advance(1799)
        bench.send(UnitProgress("w1", bench.held["w1"].token, 0.1))
        assert bench.send(Tick()) == []


def test_a_farm_without_workers_gives_its_jobs_up(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.succeed("w1")
    bench.lose("w1")
    bench.clock.advance(299)
    bench.send(Tick())
    assert not bench.job()[0].is_final
    bench.clock.advance(1)
    bench.send(Tick())
    assert bench.job() == (JobState.FAILED, "no workers left; 1 of 2 not done")
    assert bench.last("b").reason == "no workers for 300 s; see `farm doctor`"


def test_a_job_has_its_own_time_to_wait_for_a_worker(bench: Bench) -> None:
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


def test_a_paused_job_may_wait_for_workers_for_ever(bench: Bench) -> None:
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


def test_a_worker_that_comes_in_time_saves_the_job(bench: Bench) -> None:
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


def test_a_dead_workers_success_is_dropped_and_the_unit_runs_again(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    ghost = bench.held["w1"]
    bench.lose("w1")
    report = UnitSucceeded("w1", ghost.token, Figures())
    assert bench.send(report) == [StaleReport("w1", ghost.token)]
    bench.clock.advance(1)
    bench.join("w2")
    assert bench.units_of("w2") == ["a"]


def test_a_lease_is_the_workers_own(bench: Bench) -> None:
    bench.submit()
    bench.join("w1", "w2")
    token = bench.held["w1"].token
    assert bench.send(UnitStarted("w2", token)) == [StaleReport("w2", token)]


# The blocklist


def test_a_worker_that_keeps_failing_a_job_is_off_it_until_forgiven(bench: Bench) -> None:
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


def test_a_success_clears_a_workers_failures(bench: Bench) -> None:
    bench.submit("job", *"abcdefghij")
    bench.join("good", "bad")
    for _ in range(4):
        bench.fail("bad", failed())
        bench.succeed("bad")
    assert "bad" in bench.held


def test_refused_inputs_are_no_fault_of_the_worker(bench: Bench) -> None:
    bench.submit("job", *"abcdefgh")
    bench.join("w1", "w2")
    for _ in range(5):
        bench.fail("w1", failed(is_fatal=True))
    assert "w1" in bench.held


def test_the_blocklist_never_holds_everybody(bench: Bench) -> None:
    bench.submit("job", *"abcdefgh")
    bench.join("w1")
    for _ in range(5):
        bench.fail("w1", failed())
    assert "w1" in bench.held


def test_a_unit_does_not_wait_for_a_worker_that_is_off_its_job(bench: Bench) -> None:
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


# Units that need others


def test_a_unit_waits_for_all_that_it_needs(bench: Bench) -> None:
    bench.submit("job", "mux", "a", "b", needs={"mux": "ab"})
    bench.join("w1", "w2")
    assert bench.units_of("w1", "w2") == ["a", "b"]
    bench.succeed("w1")
    assert "w1" not in bench.held
    bench.succeed("w2")
    assert bench.units_of("w1") == ["mux"]


def test_a_unit_whose_need_failed_is_cancelled_by_name_and_so_is_what_needs_it(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b", "mux", "sheet", needs={"mux": "ab", "sheet": ["mux"]})
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    assert bench.last("mux").state is S.CANCELLED
    assert bench.last("mux").reason == "it needs a, which was quarantined"
    assert bench.last("sheet").reason == "it needs mux, which was cancelled"
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "3 of 4 failed")


def test_a_need_that_nobody_makes_is_a_bug(bench: Bench) -> None:
    with pytest.raises(FarmBug, match="unit mux needs z, which nobody makes"):
        bench.submit("job", "mux", needs={"mux": ["z"]})


# What a person wants


def test_a_paused_job_ends_what_runs_and_places_nothing_until_it_runs_again(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.PAUSE))
    assert bench.job()[0] is JobState.RUNNING
    bench.succeed("w1")
    assert "w1" not in bench.held
    assert bench.job()[0] is JobState.PAUSED
    bench.send(WantedChanged("job", Wanted.RUN))
    assert bench.units_of("w1") == ["b"]


def test_a_cancelled_job_stops_what_runs_and_drops_what_waits(bench: Bench) -> None:
    bench.submit("job", "a", "b", "mux", needs={"mux": "ab"})
    bench.join("w1")
    assert CancelWork("w1") in bench.send(WantedChanged("job", Wanted.CANCEL))
    assert bench.last("b").state is bench.last("mux").state is S.CANCELLED
    bench.give_back("w1")
    assert bench.job() == (JobState.CANCELLED, "cancelled")
    assert bench.last("a").by == "user"


def test_cancelling_is_for_good(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    bench.send(WantedChanged("job", Wanted.RUN))
    bench.give_back("w1")
    assert bench.job()[0] is JobState.CANCELLED


def test_a_unit_that_succeeds_while_it_is_cancelled_has_succeeded(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    bench.succeed("w1")
    assert bench.last("a").state is S.SUCCEEDED


def test_a_worker_that_does_not_stop_in_time_is_ended(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    bench.send(WantedChanged("job", Wanted.CANCEL))
    bench.clock.advance(30)
    assert bench.send(Tick()) == [KillWorker("w1")]
    bench.lose("w1")
    assert bench.job()[0] is JobState.CANCELLED


def test_a_job_nobody_submitted_is_refused(bench: Bench) -> None:
    bench.submit("dream-12")
    with pytest.raises(UnknownName, match="unknown job 'dream-21'; did you mean dream-12"):
        bench.send(WantedChanged("dream-21", Wanted.PAUSE))


# The farm ends, and begins again


def test_stopping_asks_what_runs_to_stop_and_keeps_it_for_later(bench: Bench) -> None:
    bench.submit()
    bench.join("w1")
    assert bench.send(Stopping()) == [CancelWork("w1")]
    bench.give_back("w1")
    assert bench.last("a").state is S.READY
    assert bench.held == {}
    assert bench.scheduler.busy_workers() == []
    assert not bench.job()[0].is_final


def test_a_worker_lost_while_stopping_costs_its_unit_nothing(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    bench.send(Stopping())
    bench.lose("w1")
    assert bench.last("a").state is S.READY
    assert bench.last("a").failure is None


def past(name: str, state: UnitState, *failures: Reason, needs: str = "") -> RestoredUnit:
    return RestoredUnit(Unit("job", name, name, name, tuple(needs)), state, len(failures), failures)


def test_a_unit_in_the_hands_of_a_farm_that_ended_is_tried_again(bench: Bench) -> None:
    bench.enter("job", [past("a", S.RUNNING), past("b", S.SUCCEEDED), past("c", S.RETRY_WAIT)])
    bench.join("w1")
    assert bench.states("a") == [S.RETRY_WAIT]
    assert bench.units_of("w1") == ["c"]
    bench.clock.advance(1)
    bench.succeed("w1")
    assert bench.units_of("w1") == ["a"]
    assert bench.states("b") == []


def test_a_unit_that_ended_three_farms_is_set_aside(bench: Bench) -> None:
    died = Reason.WORKER_DIED
    bench.enter("job", [past("a", S.RUNNING, died, died), past("b", S.READY)])
    assert bench.last("a").state is S.QUARANTINED
    assert bench.last("a").reason == "killed 3 workers; the last time: the farm ended"
    bench.join("w1")
    assert bench.units_of("w1") == ["b"]


def test_what_was_skipped_counts_as_done(bench: Bench) -> None:
    bench.enter("job", [past("a", S.SKIPPED), past("mux", S.BLOCKED, needs="a")])
    bench.join("w1")
    assert bench.states("a") == [S.SKIPPED]
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


def test_a_job_of_which_all_was_skipped_is_done_at_once(bench: Bench) -> None:
    bench.enter("job", [past("a", S.SKIPPED), past("b", S.SKIPPED)])
    assert bench.job() == (JobState.COMPLETED, "")


# Broken rules


def test_a_worker_that_joins_twice_is_a_bug(bench: Bench) -> None:
    bench.join("w1")
    with pytest.raises(FarmBug, match="worker w1 joined twice"):
        bench.join("w1")


def test_a_job_submitted_twice_is_a_bug(bench: Bench) -> None:
    bench.submit("job")
    with pytest.raises(FarmBug, match="job job was submitted twice"):
        bench.submit("job")


def test_a_move_outside_the_table_tells_the_units_story(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.start("w1")
    with pytest.raises(FarmBug, match=r"unit a cannot go that way\n.*ready -> leased w1\n"):
        bench.start("w1")


def test_time_that_is_set_back_stands_still(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.clock.advance(-1000)
    bench.join("w1")
    assert bench.last("a").waited == 0
