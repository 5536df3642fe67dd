"""A job belongs to one farm at a time: another farm's writes change nothing, wherever it runs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from farm.errors import FarmBug, JobHeld, JobTakenOver
from farm.ledger import Ledger
from farm.model.events import JobChanged, UnitAdvanced, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobState
from farm.model.messages import Failure, Figures, Reason
from farm.process import SILENT_SECONDS

from .farms import LATER, NOW, SPEC, S, done, job, ready, running, unit


@pytest.fixture
def first(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A farm that lives and owns a job whose unit a is running."""
    ledger = open_ledger()
    ledger.beat(NOW)
    ledger.add(job(), ready("a", "b"))
    ledger.record([running("a")], NOW)
    return ledger


@pytest.fixture
def second(open_ledger: Callable[[], Ledger]) -> Ledger:
    return open_ledger()


def on_another_machine(ledger: Ledger) -> None:
    """Let a ledger belong to a process that only its own machine can see."""
    ledger.process = replace(ledger.process, kernel="another", pid=1, start=1.0)


def test_a_job_of_a_living_farm_cannot_be_taken(first: Ledger, second: Ledger) -> None:
    with pytest.raises(JobHeld) as caught:
        second.take("job", LATER - 1)
    process = first.process
    assert str(caught.value) == (
        f"process {process.pid} on {process.host} is working on job job; wait until it ends, or stop it"
    )
    first.record([done("a")], LATER)


def test_a_farm_whose_job_was_taken_over_can_store_nothing(first: Ledger, second: Ledger) -> None:
    second.take("job", LATER)
    first.add(job("other"), ready("a", job="other"))
    stories = [first.story(name) for name in ("job", "other")]
    changes = [done("a", "other"), done("a"), JobChanged(replace(job(), state=JobState.COMPLETED))]
    with pytest.raises(JobTakenOver, match="job job was taken over by ") as caught:
        first.record(changes, LATER)
    assert caught.value.job == "job"
    assert [first.story(name) for name in ("job", "other")] == stories
    assert first.counts("other") == {S.READY: 1}
    assert first.job("job") == job()
    first.record([done("a", "other")], LATER)


def test_a_farm_that_lost_a_job_to_itself_in_a_later_epoch_is_fenced_too(
    first: Ledger, second: Ledger
) -> None:
    second.take("job", LATER)
    second.leave(LATER)
    second.process = first.process
    second.take("job", LATER)
    with pytest.raises(JobTakenOver):
        first.record([done("a")], LATER)
    second.record([done("a")], LATER)


def test_the_next_owner_can_store(first: Ledger, second: Ledger) -> None:
    second.take("job", LATER)
    second.record([done("a"), running("b")], LATER)
    assert [record.state for record in first.units("job")] == [S.SUCCEEDED, S.RUNNING]


def test_a_farm_that_keeps_showing_life_keeps_its_job(first: Ledger, second: Ledger) -> None:
    for moment in range(5):
        first.beat(NOW + moment * 50)
    with pytest.raises(JobHeld):
        second.take("job", NOW + 250)


def test_a_job_of_a_process_that_is_gone_can_be_taken_at_once(
    open_ledger: Callable[[], Ledger], second: Ledger
) -> None:
    dead = open_ledger()
    dead.process = replace(dead.process, start=dead.process.start + 1)
    dead.beat(NOW)
    dead.add(job(), ready("a"))
    second.take("job", NOW)


def test_on_another_machine_only_silence_tells_that_a_farm_is_dead(
    open_ledger: Callable[[], Ledger], second: Ledger
) -> None:
    far = open_ledger()
    on_another_machine(far)
    far.beat(NOW)
    far.add(job(), ready("a"))
    with pytest.raises(JobHeld):
        second.take("job", LATER - 1)
    second.take("job", LATER)


def test_a_job_of_a_farm_that_ended_in_good_order_can_be_taken_at_once(
    first: Ledger, second: Ledger
) -> None:
    first.leave(NOW)
    second.take("job", NOW)
    second.beat(NOW)
    with pytest.raises(JobTakenOver):
        first.record([done("a")], NOW)


def test_a_job_of_a_living_farm_cannot_be_replaced(first: Ledger, second: Ledger) -> None:
    before = job()
    with pytest.raises(JobHeld):
        second.replace(before, job("next"), ready("a", job="next"), NOW)
    assert second.jobs() == [before]
    first.record([done("a")], NOW)


def test_a_replaced_job_is_cancelled_and_its_old_farm_can_store_nothing(
    first: Ledger, second: Ledger
) -> None:
    second.replace(job(), job("next", LATER), ready("a", job="next"), LATER)
    now, before = second.jobs()
    assert (before.state, before.reason) == (JobState.CANCELLED, "resumed as next")
    assert now.id == "next"
    with pytest.raises(JobTakenOver):
        first.record([done("a")], LATER)


def test_an_ended_job_is_replaced_though_its_farm_lives(first: Ledger, second: Ledger) -> None:
    ended = replace(job(), state=JobState.COMPLETED)
    first.record([JobChanged(ended)], NOW)
    second.replace(ended, job("next", LATER), ready("a", job="next"), NOW)
    assert second.job("job") == ended


def test_only_the_jobs_that_a_farm_owns_can_be_recorded(first: Ledger, second: Ledger) -> None:
    with pytest.raises(FarmBug, match="job job is recorded by a farm that does not own it"):
        second.record([done("a")], NOW)


# What a farm's death costs


def crashes(ledger: Ledger) -> dict[str, int]:
    return dict(ledger.crashes(SPEC.key, ["out/a", "out/b"]))


def test_a_unit_that_a_dead_farm_held_has_crashed_and_others_have_not(
    first: Ledger, second: Ledger
) -> None:
    assert crashes(second) == {"out/a": 1}
    second.take("job", LATER)
    assert [record.restored.crashes for record in second.units("job")] == [1, 0]


def test_an_orderly_end_costs_nothing_even_if_units_did_not_stop_in_time(
    first: Ledger, second: Ledger
) -> None:
    first.leave(NOW)
    assert crashes(second) == {}
    second.take("job", NOW)
    assert [(r.state, r.crashes) for r in second.units("job")] == [(S.READY, 0), (S.READY, 0)]


def test_crashes_add_up_until_the_unit_ends(open_ledger: Callable[[], Ledger]) -> None:
    now = NOW
    farm = open_ledger()
    farm.add(job(), ready("a", "b"))
    for count in range(1, 4):
        farm.record([running("a")], now)
        now += SILENT_SECONDS
        farm = open_ledger()
        farm.beat(now)
        farm.take("job", now)
        assert farm.units("job")[0].crashes == count
        farm.record([UnitChanged(unit("a"), S.READY, count)], now)
        assert crashes(farm) == {"out/a": count}
    farm.record([running("a"), done("a")], now)
    assert crashes(farm) == {}


def test_what_happened_to_a_unit_before_its_user_wanted_it_tried_again_counts_no_more(
    first: Ledger, second: Ledger
) -> None:
    entry = RestoredUnit(unit("a", "again"), S.READY, 2, crashes=5)
    first.add(job("again"), [entry])
    again = UnitChanged(entry.unit, S.READY, 3, "tried again", "user", crashes=1)
    fail = partial(UnitChanged, entry.unit, S.QUARANTINED)
    first.record([fail(3, failure=Failure(Reason.BUG, "before"))], NOW)
    first.record([again, UnitChanged(entry.unit, S.LEASED, 4)], NOW)
    first.record([fail(4, failure=Failure(Reason.STORAGE, "since then"))], NOW)
    (known,) = second.units("again")
    failures = (Reason.STORAGE,)
    assert known.restored == replace(
        entry, state=S.QUARANTINED, attempt=4, failures=failures, crashes=1, retried_from=4
    )
    (shown,) = second.units_page("again")
    assert [failure.message for failure in shown.failures] == ["before", "since then"]


def test_farms_that_died_before_a_unit_succeeded_no_longer_count_when_its_job_goes_on(
    first: Ledger, second: Ledger
) -> None:
    second.take("job", LATER)
    assert [record.crashes for record in second.units("job")] == [1, 0]
    end = JobChanged(replace(job(), state=JobState.COMPLETED_WITH_FAILURES))
    failed = UnitChanged(unit("b"), S.QUARANTINED, 1)
    second.record([done("a"), failed, end], LATER)
    second.reopen("job", LATER)
    assert [record.crashes for record in second.units("job")] == [0, 0]


def test_farms_that_died_before_a_run_advanced_no_longer_count(
    first: Ledger, second: Ledger
) -> None:
    second.take("job", LATER)
    second.record([running("a")], LATER)
    assert crashes(second) == {"out/a": 2}  # if it died now
    second.record([UnitAdvanced(unit("a"))], LATER)
    assert crashes(second) == {"out/a": 1}
    assert [(r.state, r.crashes) for r in second.units("job")] == [(S.RUNNING, 0), (S.READY, 0)]
    assert second.counts("job") == {S.RUNNING: 1, S.READY: 1}


def test_a_resumed_job_carries_crashes_and_successes_on(first: Ledger, second: Ledger) -> None:
    first.record([running("b"), done("b")], NOW)
    success = first.finished(SPEC.key, ["out/b"])["out/b"]
    carried = [
        replace(ready("a", job="next")[0], crashes=1),
        RestoredUnit(unit("b", "next"), S.SKIPPED, figures=success.figures),
    ]
    second.replace(job(), job("next", LATER), carried, LATER)
    second.record([UnitChanged(unit("b", "next"), S.SKIPPED, 0, "already finished")], LATER)
    assert crashes(second) == {"out/a": 1}
    assert second.finished(SPEC.key, ["out/a", "out/b"])["out/b"].unit.job == "next"


def test_a_success_of_a_target_that_the_resumed_job_lacks_is_found_in_an_older_job(
    first: Ledger, second: Ledger
) -> None:
    first.record([done("a"), running("b"), done("b")], NOW)
    second.replace(job(), job("next", LATER), ready("a", job="next"), LATER)
    assert set(second.finished(SPEC.key, ["out/a", "out/b"])) == {"out/b"}


# What is counted and stored once


def test_units_are_counted_by_state_with_every_change(first: Ledger) -> None:
    assert first.counts("job") == {S.RUNNING: 1, S.READY: 1}
    first.record([done("a"), UnitChanged(unit("b"), S.LEASED, 1), running("b")], NOW)
    assert first.counts("job") == {S.SUCCEEDED: 1, S.RUNNING: 1}
    assert first.counts("unknown") == {}


def test_several_changes_of_a_unit_are_stored_together(first: Ledger) -> None:
    first.record([done("a"), UnitChanged(unit("a"), S.SUCCEEDED, 1, "again")], NOW)
    record = first.units("job")[0]
    assert (record.state, record.reason, record.figures) == (S.SUCCEEDED, "again", Figures())
    assert len(first.story("job")) == 3


def test_equal_tracebacks_are_stored_once(first: Ledger) -> None:
    failure = Failure(Reason.PLUGIN_ERROR, "it broke", traceback="Traceback ...\n" * 100)
    for attempt in range(3):
        for name in "ab":
            first.record([UnitChanged(unit(name), S.RETRY_WAIT, attempt, failure=failure)], NOW)
    assert [record.failures for record in first.units("job")] == [(failure,) * 3] * 2
    with first._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM tracebacks").scalar() == 1


def test_the_device_of_a_job_is_read_back(first: Ledger) -> None:
    chosen = replace(job(), device="cpu AVX512")
    first.record([JobChanged(chosen)], NOW)
    assert first.job("job") == chosen


def test_jobs_that_have_not_ended_are_listed(first: Ledger) -> None:
    first.add(job("other", NOW + 1), ready("a", job="other"))
    first.record([JobChanged(replace(job(), state=JobState.FAILED))], NOW)
    assert [found.id for found in first.unfinished()] == ["other"]


def test_the_latest_job_with_the_same_task_and_output_is_found(first: Ledger) -> None:
    other = SPEC.model_copy(update={"priority": 1, "params": {"amount": 0.5}})
    first.add(Job("newer", other, NOW + 1), ready("a", job="newer"))
    elsewhere = SPEC.model_copy(update={"output": "elsewhere/"})
    first.add(Job("elsewhere", elsewhere, NOW + 2), ready("a", job="elsewhere"))
    latest = first.latest("copy", "out/")
    assert latest is not None
    assert latest.id == "newer"


def test_readers_do_not_wait_for_the_writer(first: Ledger, second: Ledger) -> None:
    with first._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET reason = 'unfinished business'")
        assert second.jobs() == [job()]
        assert [record.state for record in second.units("job")] == [S.RUNNING, S.READY]
