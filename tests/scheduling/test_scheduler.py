"""The scheduler's guarantees: events in, instructions out."""

import gc
import weakref
from dataclasses import replace
from random import Random

import pytest

from farm.errors import FarmBug, UnknownName
from farm.model.events import (
    CancelWork,
    JobChanged,
    KillWorker,
    Notice,
    Progressed,
    RetryWanted,
    StaleReport,
    Stopping,
    Tick,
    UnitChanged,
    WantedChanged,
    WorkerChanged,
)
from farm.model.film import FilmFormat
from farm.model.history import RestoredUnit
from farm.model.job import JobState, Wanted
from farm.model.messages import (
    Failure,
    Figures,
    Hold,
    Reason,
    UnitProgress,
    UnitStarted,
    UnitSucceeded,
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
)
from farm.model.unit import Unit, UnitState
from farm.model.work import Join, Render, Work
from farm.scheduling.policy import Policy

from ..workbench import Bench, failed  # noqa: TID252 - shared between rooms

S = UnitState
JOIN = Join((), FilmFormat("h264"))


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


def test_an_owner_with_many_jobs_does_not_crowd_out_another_with_one(bench: Bench) -> None:
    for number in range(100):
        bench.submit(f"ada{number}", "a", owner="ada")
    bench.join("w1", "w2", "w3", "w4")
    bench.submit("bob", *"abcdef", owner="bob")
    bench.succeed("w1")
    bench.succeed("w2")
    owners = [bench.scheduler.job(order.unit.job).spec.owner for order in bench.held.values()]
    assert sorted(owners) == ["ada", "ada", "bob", "bob"]


def test_the_jobs_of_one_owner_share_what_the_owner_gets(bench: Bench) -> None:
    bench.submit("first", *"abcdef", owner="ada")
    bench.submit("second", *"abcdef", owner="ada")
    bench.submit("other", *"abcdef", owner="bob")
    bench.join("w1", "w2", "w3", "w4")
    held = [order.unit.job for order in bench.held.values()]
    assert sorted(held) == ["first", "other", "other", "second"]


def test_a_higher_priority_comes_before_what_owners_hold(bench: Bench) -> None:
    bench.submit("urgent", *"abc", owner="ada", priority=90)
    bench.submit("other", "a", owner="bob")
    bench.join("w1", "w2", "w3")
    assert {order.unit.job for order in bench.held.values()} == {"urgent"}


def test_an_owner_who_gives_workers_back_is_served_again(bench: Bench) -> None:
    bench.submit("ada", *"abcdef", owner="ada")
    bench.submit("bob", *"abcdef", owner="bob")
    bench.submit("more", *"abcdef", owner="ada")
    bench.join("w1", "w2", "w3", "w4")
    bench.send(WantedChanged("ada", Wanted.PAUSE))
    for worker in [name for name, order in bench.held.items() if order.unit.job == "ada"]:
        bench.succeed(worker)
    owners = [bench.scheduler.job(order.unit.job).spec.owner for order in bench.held.values()]
    assert sorted(owners) == ["ada", "ada", "bob", "bob"]


def test_an_owner_whose_jobs_have_ended_is_forgotten(bench: Bench) -> None:
    bench.join("w1")
    for number in range(5):
        bench.submit(f"job{number}", "a", owner=f"owner{number}")
        bench.succeed("w1")
    assert not bench.scheduler._state.owners._all


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
    assert bench.job() == (JobState.FAILED, "nothing was finished")


def test_wrong_code_is_tried_once_more_on_another_worker(bench: Bench) -> None:
    wrong = replace(failed(), is_mistake=True)
    bench.submit("job", "a")
    bench.join("w1", "w2")
    bench.fail("w1", wrong)
    assert bench.units_of("w2") == ["a"]
    bench.fail("w2", wrong)
    assert bench.last("a").state is S.QUARANTINED


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
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "1 of 2 units failed")


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
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "1 of 2 units failed")


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


def fail_if_cut_off(bench: Bench, *, cut_off: str) -> None:
    for worker in list(bench.held):
        if worker == cut_off and bench.held[worker].unit.job == "job":
            bench.fail(worker, FULL)
        else:
            bench.succeed(worker)


def test_a_worker_that_alone_cannot_reach_the_storage_is_set_aside_and_tried_again_later(
    bench: Bench,
) -> None:
    submit_many(bench, 200)
    bench.join("good", "bad", "other")
    for _ in range(20):
        fail_if_cut_off(bench, cut_off="bad")
    assert sorted(bench.held) == ["good", "other"]
    notices = [i.note for i in bench.instructions if isinstance(i, Notice)]
    (note,) = notices
    assert note == (
        "worker bad cannot reach the storage, which others use; it gets no units of job job for 30 min; "
        "check the network and disks of its node (local)"
    )
    wait(bench, 1800)
    assert "bad" in bench.held
    fail_if_cut_off(bench, cut_off="")
    assert "bad" in bench.held
    assert bench.last("u0").state is S.SUCCEEDED


@pytest.mark.parametrize(("node", "named"), [("cut-off", ["w1", "w2"]), ("well", [])])
def test_what_several_workers_met_counts_against_them_if_they_are_all_of_one_node(
    node: str, named: list[str]
) -> None:
    bench = Bench(Policy(blocklist_failures=1))
    bench.submit("job", "a", "b")
    bench.send(WorkerJoined("good", "cpu", node="well"))
    for name in ("w1", "w2"):
        bench.send(WorkerJoined(name, "cpu", node=node))
        assert bench.units_of(name) == ["b"]
        bench.fail(name, FULL)
        wait(bench, 30)
    bench.succeed("good")
    bench.succeed("good")
    notices = [i.note.split()[1] for i in bench.instructions if isinstance(i, Notice)]
    assert notices == named


def test_what_a_worker_met_that_has_left_still_speaks_for_the_others() -> None:
    bench = Bench(Policy(blocklist_failures=1))
    bench.submit("job", "a", "b")
    bench.send(WorkerJoined("good", "cpu", node="well"))
    for name in ("w1", "w2"):
        bench.send(WorkerJoined(name, "cpu", node=f"node of {name}"))
        bench.fail(name, FULL)
        wait(bench, 30)
    bench.lose("w2")
    bench.succeed("good")
    bench.succeed("good")
    assert bench.job()[0] is JobState.COMPLETED
    assert not [i for i in bench.instructions if isinstance(i, Notice)]


def test_after_a_storage_was_gone_for_all_no_worker_is_set_aside(bench: Bench) -> None:
    submit_many(bench, 60)
    bench.join("w1", "w2", "w3")
    for _ in range(30):
        for worker in list(bench.held):
            bench.fail(worker, FULL)
        wait(bench, 300)
    bench.succeed(*bench.held)
    for _ in range(10):
        assert len(bench.held) == 3
        bench.succeed("w1")
        bench.succeed("w2")
    assert not [i for i in bench.instructions if isinstance(i, Notice)]


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
    for number in range(5):
        bench.fail("w1", failed(message=number, is_fatal=True))
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
    assert bench.units_of("w2") == ["mux"]


def test_a_unit_that_finishes_a_film_comes_before_the_next_frame(bench: Bench) -> None:
    film = RestoredUnit(Unit("job", "film", "s", "film", ("a",), JOIN), S.BLOCKED)
    bench.submit_restored("job", [restored("a", S.READY), restored("b", S.READY), film])
    bench.join("w1")
    bench.succeed("w1")
    assert bench.units_of("w1") == ["film"]


def test_a_failed_unit_cancels_the_units_that_depend_on_it_and_is_named_in_the_reason(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b", "mux", "sheet", needs={"mux": "ab", "sheet": ["mux"]})
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    assert bench.last("mux").state is S.CANCELLED
    assert bench.last("mux").reason == "depends on a, which failed"
    assert bench.last("sheet").reason == "depends on mux, which was cancelled"
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "3 of 4 units failed")


def test_a_need_outside_the_job_is_a_bug(bench: Bench) -> None:
    with pytest.raises(FarmBug, match="unit mux needs z, which the job does not contain"):
        bench.submit("job", "mux", needs={"mux": ["z"]})


LONG = 100_000


def submit_chain(bench: Bench) -> list[str]:
    """Submit units of which each needs the one before it, without validating after each event."""
    names = [f"u{number:06d}" for number in range(LONG)]
    units = [
        RestoredUnit(Unit("job", name, "s", name, needs), S.BLOCKED if needs else S.READY)
        for name, needs in zip(names, [(), *((name,) for name in names)], strict=False)
    ]
    bench.validates = False
    bench.submit_restored("job", units)
    return names


def cancelled(bench: Bench) -> list[str]:
    changes = [i for i in bench.instructions if isinstance(i, UnitChanged)]
    return [change.unit.name for change in changes if change.state is S.CANCELLED]


def test_the_failure_of_the_first_of_many_units_in_a_chain_cancels_the_others_in_order(
    bench: Bench,
) -> None:
    names = submit_chain(bench)
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    assert cancelled(bench) == names[1:]
    assert bench.last(names[-1]).reason == f"depends on {names[-2]}, which was cancelled"
    assert bench.job() == (JobState.FAILED, "nothing was finished")


def test_a_job_with_many_units_in_a_chain_can_be_cancelled(bench: Bench) -> None:
    names = submit_chain(bench)
    bench.send(WantedChanged("job", Wanted.CANCEL))
    assert cancelled(bench) == names
    assert bench.job() == (JobState.CANCELLED, "cancelled")


def test_units_are_cancelled_before_the_next_one_that_needed_the_same(bench: Bench) -> None:
    needs = {"b": "a", "c": "b", "d": "a", "e": "d"}
    bench.submit("job", "a", "b", "d", "c", "e", needs=needs)
    bench.join("w1")
    bench.fail("w1", failed(is_fatal=True))
    assert cancelled(bench) == ["b", "c", "d", "e"]


# Jobs that fail


def submit_many(bench: Bench, count: int, *, keeps_going: bool = False) -> None:
    units = [restored(f"u{number}", S.READY) for number in range(count)]
    bench.submit_restored("job", units, keeps_going=keeps_going)


def test_a_job_fails_when_a_tenth_of_its_units_and_at_least_twenty_have_failed(
    bench: Bench,
) -> None:
    submit_many(bench, 200)
    bench.join("w1", "w2")
    for number in range(19):
        bench.fail("w1", failed(message=number, is_fatal=True))
    assert not bench.job()[0].is_final
    lease = bench.held["w2"].token
    assert CancelWork("w2", lease) in bench.fail("w1", failed(is_fatal=True))
    assert "w1" not in bench.held
    bench.confirm_cancel("w2")
    state, reason = bench.job()
    assert state is JobState.FAILED
    assert reason.startswith("20 of 200 frames failed; ")
    assert "--keep-going" in reason
    assert reason.endswith("; 20 of 200 units failed, 180 not tried")
    assert bench.last("u199").reason.startswith("the job failed: 20 of 200 frames failed; ")
    assert bench.last("u1").state is S.CANCELLED


def fail_thrice(bench: Bench, worker: str, message: str) -> None:
    """Use up the tries of the worker's unit."""
    for _ in range(3):
        bench.fail(worker, failed(message=message))


def test_a_job_fails_when_its_first_three_frames_fail_with_one_error_of_the_plugin(
    bench: Bench,
) -> None:
    submit_many(bench, 200)
    bench.join("w1")
    for _ in range(3):
        assert not bench.job()[0].is_final
        fail_thrice(bench, "w1", "in line 7")
    state, reason = bench.job()
    assert state is JobState.FAILED
    assert reason.startswith(
        "its first 3 frames failed alike: failed with plugin_error in line 7; fix the plugin "
    )
    assert bench.last("u199").reason.startswith("not tried, because the plugin is broken; ")


def test_frames_that_fail_for_several_reasons_or_after_a_success_do_not_end_a_job(
    bench: Bench,
) -> None:
    submit_many(bench, 30)
    bench.join("w1")
    for message in ("in line 7", "in line 8", "in line 7", "in line 8"):
        fail_thrice(bench, "w1", message)
    bench.succeed("w1")
    for _ in range(3):
        fail_thrice(bench, "w1", "in line 7")
    assert not bench.job()[0].is_final


def test_a_job_that_keeps_going_tries_all_frames_of_a_broken_plugin(bench: Bench) -> None:
    submit_many(bench, 5, keeps_going=True)
    bench.join("w1")
    for _ in range(5):
        fail_thrice(bench, "w1", "in line 7")
    assert bench.last("u4").state is S.QUARANTINED


def test_a_failed_unit_of_a_job_that_has_failed_is_not_retried(bench: Bench) -> None:
    submit_many(bench, 30)
    bench.join("w1", "w2")
    for number in range(20):
        bench.fail("w1", failed(message=number, is_fatal=True))
    bench.fail("w2", failed())
    assert bench.job()[0] is JobState.FAILED


def test_a_job_that_keeps_going_runs_all_its_units(bench: Bench) -> None:
    submit_many(bench, 30, keeps_going=True)
    bench.join("w1")
    for _ in range(29):
        bench.fail("w1", failed(is_fatal=True))
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "29 of 30 units failed")


def test_refused_inputs_are_no_part_of_the_share(bench: Bench) -> None:
    submit_many(bench, 30)
    bench.join("w1")
    for _ in range(29):
        bench.fail("w1", failed(Reason.USER_ERROR, is_fatal=True))
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "29 of 30 units failed")


def test_units_that_finish_films_are_no_part_of_the_share(bench: Bench) -> None:
    units = [RestoredUnit(Unit("job", f"j{n}", "s", f"j{n}", (), JOIN), S.READY) for n in range(30)]
    bench.submit_restored("job", [restored("a", S.READY), *units])
    bench.join("w1")
    for _ in range(30):
        bench.fail("w1", failed(is_fatal=True))
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "30 of 31 units failed")


# Jobs that wait

FULL = Failure(Reason.STORAGE, "out/a: the disk is full; free some space", hold=Hold.STORAGE)
ALONE = Failure(
    Reason.STORAGE,
    "s3://b/in.png: the storage does not answer",
    hold=Hold.STORAGE,
    alone="s3://b/in.png",
)
GONE = Failure(Reason.USER_ERROR, "no plugin offers it", is_fatal=True, hold=Hold.RESTART)


def wait(bench: Bench, seconds: float) -> None:
    bench.clock.advance(seconds)
    bench.send(Tick())


def test_a_full_disk_pauses_the_job_at_no_cost_and_others_go_on(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.submit("other", "x", priority=0)
    bench.join("w1")
    bench.fail("w1", FULL)
    assert bench.last("a").state is S.READY
    assert bench.last("a").reason == FULL.message
    assert bench.last("a").failure is None
    reason = "out/a: the disk is full; free some space; the job tries again in 30 s"
    assert bench.job() == (JobState.PAUSED, reason)
    assert bench.units_of("w1") == ["x"]
    assert bench.scheduler.has_work


def test_a_job_that_waits_for_storage_tries_one_unit_and_goes_on_when_it_succeeds(
    bench: Bench,
) -> None:
    bench.submit("job", *"abcd")
    bench.join("w1", "w2")
    bench.fail("w1", FULL)
    bench.fail("w2", FULL)
    assert bench.held == {}
    wait(bench, 29)
    assert bench.held == {}
    wait(bench, 1)
    assert [order.unit.name for order in bench.held.values()] == ["b"]
    assert bench.job()[0] is JobState.PAUSED
    (probing,) = bench.held
    bench.succeed(probing)
    assert sorted(order.unit.name for order in bench.held.values()) == ["a", "c"]
    assert bench.job() == (JobState.RUNNING, "")


def test_another_worker_tries_next_for_one_machine_alone_may_be_cut_off(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.submit("other", "x")
    bench.join("w1", "w2")
    bench.fail("w1", FULL)
    bench.succeed("w2")
    wait(bench, 30)
    assert bench.units_of("w2") == ["a"]


@pytest.mark.parametrize("workers", [1, 3])
def test_a_unit_that_alone_meets_a_storage_that_is_gone_is_set_aside_in_the_end(
    bench: Bench, workers: int
) -> None:
    bench.submit("job", *"abcdefgh")
    bench.join(*(f"w{number}" for number in range(workers)))
    for _ in range(100):
        for worker in list(bench.held):
            if bench.units_of(worker) == ["a"]:
                bench.fail(worker, FULL)
            else:
                bench.succeed(worker)
        if not bench.held:
            wait(bench, 300)
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "1 of 8 units failed")


def test_while_a_storage_is_gone_no_unit_is_set_aside_however_often_it_is_tried(
    bench: Bench,
) -> None:
    bench.submit("job", *"abc")
    bench.join("w1", "w2")
    for _ in range(40):
        for worker in list(bench.held):
            bench.fail(worker, FULL)
        wait(bench, 300)
    assert bench.job()[0] is JobState.PAUSED
    assert {state for unit in "abc" for state in bench.states(unit)} <= {S.READY, S.LEASED}


def test_a_file_that_alone_cannot_be_used_fails_its_unit_in_the_end_though_there_is_no_other(
    bench: Bench,
) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    for _ in range(5):
        bench.fail("w1", ALONE)
        assert bench.last("a").state is S.READY
        wait(bench, 300)
    bench.fail("w1", ALONE)
    assert bench.job() == (JobState.FAILED, "nothing was finished")
    assert bench.last("a").state is S.QUARANTINED
    assert bench.last("a").reason == (
        "s3://b/in.png: the storage does not answer; its storage serves other files; --resume, or "
        "`farm job ID retry` on a server, tries it again"
    )


def test_frames_of_a_file_that_alone_cannot_be_used_do_not_each_wait_as_long(bench: Bench) -> None:
    submit_many(bench, 30)
    bench.join("w1", "w2")
    since = bench.clock.time()
    while not bench.job()[0].is_final:
        for worker in list(bench.held):
            bench.fail(worker, ALONE)
        wait(bench, 60)
    assert bench.job()[0] is JobState.FAILED
    assert bench.clock.time() - since < 3600


def test_the_others_go_on_while_files_cannot_be_used_that_every_worker_met_first(
    bench: Bench,
) -> None:
    submit_many(bench, 40)
    bench.join("w1", "w2", "w3", "w4")
    since = bench.clock.time()
    while not bench.job()[0].is_final:
        for worker in list(bench.held):
            (unit,) = bench.units_of(worker)
            if unit in {"u0", "u1", "u2", "u3"}:
                bench.fail(worker, replace(ALONE, alone=f"s3://b/{unit}.png"))
            else:
                bench.succeed(worker)
        wait(bench, 10)
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "4 of 40 units failed")
    assert bench.clock.time() - since < 900


def test_a_worker_that_met_a_file_which_alone_cannot_be_used_is_not_cut_off() -> None:
    bench = Bench(Policy(blocklist_failures=1))
    bench.submit("job", "a", "b")
    bench.join("w1", "w2")
    bench.fail("w1", ALONE)
    bench.succeed("w2")
    wait(bench, 300)
    bench.succeed(*bench.held)
    assert bench.job()[0] is JobState.COMPLETED
    assert not [i for i in bench.instructions if isinstance(i, Notice)]


def test_different_files_that_cannot_be_used_are_counted_apart(bench: Bench) -> None:
    bench.submit("job", *"abc")
    bench.join("w1")
    for number in range(6):
        bench.fail("w1", replace(ALONE, alone=f"s3://b/{number}.png"))
        wait(bench, 300)
    assert bench.job()[0] is JobState.PAUSED
    assert S.QUARANTINED not in {state for unit in "abc" for state in bench.states(unit)}


def test_a_unit_that_the_user_retries_waits_for_its_storage_as_if_it_never_had(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    failures = {"a": ALONE, "b": FULL}
    for _ in range(20):
        bench.fail("w1", failures[bench.units_of("w1")[0]])
        wait(bench, 300)
    assert bench.last("a").state is S.QUARANTINED
    bench.send(RetryWanted("job", ("a",)))
    for _ in range(4):
        bench.fail("w1", failures[bench.units_of("w1")[0]])
        wait(bench, 300)
    assert bench.last("a").state in {S.READY, S.LEASED}


def test_a_shared_unit_that_meets_a_storage_that_is_gone_lets_another_try_next(
    bench: Bench,
) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("job", 2, units=3)
    bench.fail(bench.sharing["job0"][0], FULL)
    wait(bench, 30)
    assert bench.units_of(*bench.held) == ["job1"]
    bench.succeed(*bench.held)
    assert bench.job()[0] is JobState.RUNNING


def test_a_shared_unit_without_another_is_tried_again(bench: Bench) -> None:
    bench.join("w1", "w2")
    bench.submit_shared("job", 2)
    for _ in range(3):
        bench.fail(*bench.held, FULL)
        wait(bench, 300)
    assert bench.units_of(*bench.held) == ["job0"]


def test_the_time_between_tries_doubles_and_no_unit_ever_pays(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", FULL)
    for seconds in (30, 60, 120, 240, 300, 300, 300):
        assert bench.job()[1].endswith(f"; the job tries again in {seconds} s")
        wait(bench, seconds - 1)
        assert bench.held == {}
        wait(bench, 1)
        bench.fail("w1", FULL)
    wait(bench, 300)
    bench.succeed("w1")
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


def test_a_try_that_fails_for_another_reason_is_followed_by_another_try(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", FULL)
    wait(bench, 30)
    assert bench.units_of("w1") == ["b"]
    bench.fail("w1", failed(is_fatal=True))
    assert bench.units_of("w1") == ["a"]
    assert bench.job()[0] is JobState.PAUSED
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "1 of 2 units failed")


def test_a_unit_that_was_already_running_may_show_that_the_disk_has_space_again(
    bench: Bench,
) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1", "w2")
    bench.fail("w1", FULL)
    bench.succeed("w2")
    assert [order.unit.name for order in bench.held.values()] == ["a"]


def test_a_job_that_waits_can_be_cancelled(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", FULL)
    bench.send(WantedChanged("job", Wanted.CANCEL))
    assert bench.job() == (JobState.CANCELLED, "cancelled")
    wait(bench, 30)


def test_a_source_that_cannot_be_read_does_not_pause_the_job(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", failed(Reason.STORAGE))
    assert bench.units_of("w1") == ["b"]
    assert bench.job()[0] is JobState.RUNNING


def test_a_job_whose_task_is_gone_waits_for_another_farm_at_no_cost(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    bench.fail("w1", GONE)
    assert bench.job() == (JobState.PAUSED, GONE.message)
    assert bench.last("a").state is S.READY
    assert not bench.scheduler.has_work
    assert not bench.scheduler.is_done
    wait(bench, 100_000)
    assert bench.held == {}
    bench.submit("other", "x")
    assert bench.scheduler.has_work
    bench.succeed("w1")
    assert not bench.scheduler.has_work


# Devices


def test_a_job_stays_on_the_device_of_its_first_frame(bench: Bench) -> None:
    bench.submit("job", *"abc")
    bench.join("new", device="cpu AVX512")
    assert bench.scheduler.job("job").device == "cpu AVX512"
    stored = [i.job.device for i in bench.instructions if isinstance(i, JobChanged)]
    assert stored == ["", "cpu AVX512"]
    bench.join("old", device="cpu AVX2")
    bench.succeed("new")
    assert list(bench.held) == ["new"]
    bench.submit("other", "x")
    assert bench.held["old"].unit.job == "other"


def test_workers_on_another_device_are_named_once_per_job_and_device(bench: Bench) -> None:
    bench.submit("job", *"abcdef")
    bench.join("new", device="cpu AVX512")
    bench.join("old1", "old2", device="cpu AVX2")
    bench.succeed("new")
    notices = [i for i in bench.instructions if isinstance(i, Notice)]
    assert notices == [
        Notice(
            "out/",
            "worker old1 computes on cpu AVX2, but job job began on cpu AVX512; it gets no units "
            "of this job",
        )
    ]


def test_workers_that_are_there_when_a_job_gets_its_device_are_named(bench: Bench) -> None:
    bench.join("old", device="cpu AVX2")
    bench.join("new", device="cpu AVX512")
    bench.submit("job", "a", "b")
    assert list(bench.held) == ["old"]
    (notice,) = (i for i in bench.instructions if isinstance(i, Notice))
    assert notice.note.startswith("worker new computes on cpu AVX512, but job job began on ")


def test_any_worker_finishes_films(bench: Bench) -> None:
    films = [
        RestoredUnit(Unit("job", name, "s", name, ("a",), JOIN), S.BLOCKED) for name in ("x", "y")
    ]
    bench.submit_restored("job", [restored("a", S.READY), *films])
    bench.join("new", device="cpu AVX512")
    bench.join("old", device="cpu AVX2")
    bench.succeed("new")
    assert bench.units_of("new", "old") == ["x", "y"]


def test_a_resumed_job_keeps_its_device(bench: Bench) -> None:
    bench.submit_restored("job", [restored("a", S.READY)], device="cpu AVX512")
    bench.join("old", device="cpu AVX2")
    assert bench.held == {}
    bench.join("new", device="cpu AVX512")
    assert list(bench.held) == ["new"]


def test_a_job_fails_after_five_minutes_without_a_worker_on_its_device(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("new", device="cpu AVX512")
    bench.succeed("new")
    bench.lose("new")
    bench.join("old", device="cpu AVX2")
    wait(bench, 299)
    assert not bench.job()[0].is_final
    wait(bench, 1)
    assert bench.job() == (JobState.FAILED, "no workers left; 1 of 2 units not finished")
    assert bench.last("b").reason == (
        "no worker with the device of the first frames (cpu AVX512) for 300 s; start one, or "
        "submit the job again without --resume"
    )


def test_workers_and_jobs_without_a_device_match_all(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("new", device="cpu AVX512")
    bench.join("plain")
    assert bench.units_of("new", "plain") == ["a", "b"]


def test_a_refused_worker_is_reported_and_named_when_no_other_comes(bench: Bench) -> None:
    bench.submit("job", "a")
    refused = WorkerRefused("w1", "cpu", "it has torch 2.1, and the farm has torch 2.13")
    assert bench.send(refused) == [WorkerChanged("w1", "cpu", "refused", refused.reason)]
    bench.send(Tick())
    wait(bench, 300)
    assert bench.last("a").reason == (
        "no workers for 300 s; worker w1 was refused: it has torch 2.1, and the farm has torch 2.13"
    )


def test_a_worker_that_is_not_needed_ends_and_is_not_lost(bench: Bench) -> None:
    bench.join("w1", "w2")
    assert bench.send(WorkerLost("w1", "killed")) == [WorkerChanged("w1", "cpu", "gone", "killed")]
    surplus = WorkerLost("w2", "too many", is_surplus=True)
    assert bench.send(surplus) == [WorkerChanged("w2", "cpu", "ended", "too many")]


# Jobs that have ended


def test_an_ended_job_can_still_be_asked_for(bench: Bench) -> None:
    bench.submit("job", "a")
    bench.join("w1")
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")
    assert bench.scheduler.unit_counts()[S.SUCCEEDED] == 1
    assert bench.scheduler.job_counts()[JobState.COMPLETED] == 1
    assert bench.scheduler.frame_count() == 1
    assert bench.send(WantedChanged("job", Wanted.CANCEL)) == []
    with pytest.raises(FarmBug, match="job job was submitted twice"):
        bench.submit("job")


def test_the_units_of_an_ended_job_are_forgotten(bench: Bench) -> None:
    bench.submit("job", "a", "b")
    bench.join("w1")
    entries = [weakref.ref(entry) for entry in bench.scheduler._state.jobs["job"].entries]
    bench.fail("w1", failed())
    bench.succeed("w1")
    bench.succeed("w1")
    wait(bench, 2000)
    gc.collect()
    assert [entry() for entry in entries] == [None, None]


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
    lease = bench.held["w1"].token
    assert CancelWork("w1", lease) in bench.send(WantedChanged("job", Wanted.CANCEL))
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
    assert bench.send(Stopping()) == [CancelWork("w1", bench.held["w1"].token)]
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


def crashed(name: str, state: UnitState, crashes: int, work: Work | None = None) -> RestoredUnit:
    return RestoredUnit(Unit("job", name, name, name, (), work or Render()), state, crashes=crashes)


def test_the_units_of_a_farm_that_died_are_ready_again_at_no_cost(bench: Bench) -> None:
    bench.submit_restored(
        "job", [restored("a", S.RUNNING), restored("b", S.LEASED), restored("c", S.RETRY_WAIT)]
    )
    assert bench.states("a") == bench.states("b") == [S.READY]
    assert bench.last("a").failure is None
    assert bench.last("a").reason == "the farm ended while it ran this unit"
    bench.join("w1")
    assert bench.units_of("w1") == ["a"]


def test_units_that_were_running_when_a_crash_come_last(bench: Bench) -> None:
    units = [crashed("a", S.READY, 1), crashed("b", S.RUNNING, 1), crashed("c", S.READY, 0)]
    bench.submit_restored("job", units)
    bench.join("w1", "w2")
    assert bench.units_of("w1", "w2") == ["c", "a"]


def test_three_restarts_of_the_farm_do_not_quarantine_a_unit(bench: Bench) -> None:
    bench.submit_restored("job", [crashed("a", S.RUNNING, 3), restored("b", S.READY)])
    bench.join("w1")
    bench.succeed("w1")
    bench.succeed("w1")
    assert bench.job() == (JobState.COMPLETED, "")


def test_a_unit_that_was_running_when_two_farms_died_runs_alone(bench: Bench) -> None:
    units = [crashed("a", S.RUNNING, 2), restored("b", S.READY), crashed("j", S.READY, 0, JOIN)]
    bench.submit_restored("job", units)
    bench.join("w1", "w2", "w3")
    assert bench.units_of("w1", "w2") == ["j", "b"]
    assert "w3" not in bench.held
    bench.succeed("w1")
    assert list(bench.held) == ["w2"]
    bench.submit("other", "x", "y")
    bench.succeed("w2")
    alone = [order.unit.name for order in bench.held.values() if order.unit.job == "job"]
    assert alone == ["a"]


def test_many_units_that_were_running_when_two_farms_died_run_together(bench: Bench) -> None:
    bench.submit_restored("job", [crashed("a", S.RUNNING, 2), crashed("b", S.RUNNING, 2)])
    bench.join("w1", "w2")
    assert bench.units_of("w1", "w2") == ["a", "b"]


def test_a_unit_that_was_running_when_five_farms_in_a_row_died_is_quarantined(bench: Bench) -> None:
    bench.submit_restored("job", [crashed("a", S.RUNNING, 5), restored("b", S.READY)])
    bench.join("w1")
    assert bench.units_of("w1") == ["b"]
    bench.succeed("w1")
    assert bench.last("a").state is S.QUARANTINED
    assert bench.last("a").reason == (
        "5 farms in a row died while they ran this unit; --resume tries it again"
    )
    assert bench.last("a").failure
    assert bench.last("a").failure.reason is Reason.CRASH
    assert bench.job() == (JobState.COMPLETED_WITH_FAILURES, "1 of 2 units failed")


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


def test_the_queue_of_jobs_does_not_grow_with_the_units_that_are_done(bench: Bench) -> None:
    bench.validates = False
    bench.join("w1", "w2", "w3", "w4")
    for job, owner in (("a", "ann"), ("b", "bob"), ("c", "bob")):
        bench.submit(job, *(f"{job}{number}" for number in range(400)), owner=owner)
    some = Random(7)
    for _ in range(600):
        bench.clock.advance(1)
        bench.succeed(some.choice(sorted(bench.held)))
    bench.scheduler.validate()
    (queue,) = bench.scheduler._state.placement._queues.values()
    lines = [line for of_owner in queue._lines.values() for line in of_owner.values()]
    assert sum(len(line.heap) for line in lines) < 200
    assert len(queue._firsts) < 100


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
