"""A job that is being planned is in the ledger, without units, and no search for earlier jobs finds it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from farm.errors import JobTakenOver
from farm.ledger import Ledger
from farm.model.events import JobChanged
from farm.model.job import Job, JobState, Wanted

from .farms import LATER, NOW, SPEC, S, done, job, ready


def planning(name: str = "job") -> Job:
    return replace(job(name), state=JobState.PLANNING)


@pytest.fixture
def ledger(open_ledger: Callable[[], Ledger]) -> Ledger:
    """A farm with a job that it plans."""
    ledger = open_ledger()
    ledger.add(planning(), is_resumed=True)
    return ledger


def test_a_planned_job_has_its_units_and_what_planning_found(ledger: Ledger) -> None:
    assert ledger.job("job") == planning()
    assert ledger.resumes("job")
    planned = replace(job(), spec=SPEC.model_copy(update={"files": {"a": "0" * 64}}))
    ledger.plan(planned, ready("a", "b"), NOW)
    assert ledger.job("job") == ledger.find(planned.spec.key) == planned
    assert ledger.latest(SPEC.task, SPEC.output) == planned
    assert ledger.counts("job") == {S.READY: 2}
    ledger.record([done("a")], NOW)
    assert [record.state for record in ledger.units("job")] == [S.SUCCEEDED, S.READY]


def test_a_job_that_is_not_planned_is_no_earlier_job(ledger: Ledger) -> None:
    assert ledger.find(SPEC.key) is None
    assert ledger.latest(SPEC.task, SPEC.output) is None


def test_planning_a_job_again_does_nothing_twice(ledger: Ledger) -> None:
    for _ in range(2):  # as if the answer of the database had been lost
        ledger.plan(job(), ready("a"), NOW)
    ledger.record([done("a")], NOW)
    assert ledger.counts("job") == {S.SUCCEEDED: 1}


def test_a_job_that_was_changed_while_it_was_planned_can_be_planned(ledger: Ledger) -> None:
    paused = replace(planning(), wanted=Wanted.PAUSE)
    ledger.record([JobChanged(paused)], NOW)
    assert ledger.job("job") == paused
    ledger.plan(replace(job(), wanted=Wanted.PAUSE), ready("a"), NOW)
    ledger.record([done("a")], NOW)


def test_a_withdrawn_job_leaves_nothing(ledger: Ledger) -> None:
    ledger.withdraw("job")
    assert ledger.jobs() == []
    ledger.add(planning())
    assert not ledger.resumes("job")


def test_a_farm_whose_job_was_taken_over_plans_and_withdraws_nothing(
    ledger: Ledger, open_ledger: Callable[[], Ledger]
) -> None:
    next_owner = open_ledger()
    next_owner.take("job", LATER)
    with pytest.raises(JobTakenOver):
        ledger.plan(job(), ready("a"), LATER)
    ledger.withdraw("job")
    assert next_owner.job("job") == planning()
    next_owner.plan(job(), ready("a"), LATER)


def test_a_planned_job_ends_the_one_that_it_resumes(
    ledger: Ledger, open_ledger: Callable[[], Ledger]
) -> None:
    killed = open_ledger()
    killed.add(job("before"), ready("a", job="before"))
    ledger.plan(job(), ready("a"), LATER, replaces=job("before"))
    ended = ledger.job("before")
    assert ended
    assert (ended.state, ended.reason) == (JobState.CANCELLED, "resumed as job")
