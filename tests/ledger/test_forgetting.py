"""Old jobs can be forgotten with all that is known of them; what may still be needed stays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event, func, select, text

from farm.errors import Conflict
from farm.ledger import Ledger, forgetting
from farm.ledger.tables import metadata
from farm.model.events import JobChanged, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import Failure, Reason
from farm.model.unit import Unit

from .farms import NOW, SPEC, S, done, ready, unit

DAY = 86_400.0


@pytest.fixture
def farm(ledger: Ledger) -> Ledger:
    ledger.beat(NOW)
    return ledger


def end(
    farm: Ledger, name: str, at: float, state: JobState = JobState.COMPLETED, output: str = "out/"
) -> None:
    """Run a job of two units, one of which fails once, until it ends at a time."""
    spec = SPEC.model_copy(update={"output": output})
    job = Job(name, spec, at - 10)
    failure = Failure(Reason.BUG, "it broke", traceback=f"Traceback of {output}")
    farm.add(job, ready("a", "b", job=name))
    farm.record([UnitChanged(unit("a", name), S.RETRY_WAIT, 1, failure=failure)], at)
    farm.record([done("a", name), done("b", name), JobChanged(replace(job, state=state))], at)


def rows(ledger: Ledger) -> dict[str, int]:
    with ledger._engine.connect() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in metadata.sorted_tables
        }


def names(ledger: Ledger) -> list[str]:
    return [job.id for job in ledger.jobs()]


def test_nothing_is_left_of_a_job_that_ended_before_the_time(farm: Ledger) -> None:
    before = rows(farm)
    end(farm, "old", NOW)
    assert farm.forget(NOW) == 0
    assert farm.forget(NOW + 1) == 1
    assert rows(farm) == before


def test_other_jobs_keep_everything(farm: Ledger) -> None:
    end(farm, "old", NOW)
    before = rows(farm)
    end(farm, "new", NOW + DAY)
    units, story = farm.units("new"), farm.story("new")
    assert farm.forget(NOW + 1) == 1
    assert (farm.units("new"), farm.story("new")) == (units, story)
    assert rows(farm) == before


def test_a_job_that_has_not_ended_stays_however_old_it_is(farm: Ledger) -> None:
    farm.add(Job("running", SPEC, NOW - DAY), ready("a", job="running"))
    end(farm, "later", NOW + DAY)
    assert farm.forget(NOW + DAY) == 0
    farm.record([done("a", "running")], NOW)


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_can_be_resumed_stays_until_a_later_one_takes_its_place(
    farm: Ledger, state: JobState
) -> None:
    end(farm, "unfinished", NOW, state)
    end(farm, "other", NOW + DAY, output="elsewhere/")
    assert farm.forget(NOW + 1) == 0
    end(farm, "resumed", NOW + DAY)
    assert farm.forget(NOW + 1) == 1
    assert names(farm) == ["resumed", "other"]


def test_the_newest_jobs_stay_if_asked(farm: Ledger) -> None:
    for number in range(5):
        end(farm, f"job{number}", NOW + number)
    assert farm.forget(NOW + DAY, keep=2) == 3
    assert names(farm) == ["job4", "job3"]
    assert farm.forget(NOW + DAY, keep=2) == 0


def test_a_traceback_stays_while_a_job_refers_to_it(farm: Ledger) -> None:
    end(farm, "old", NOW)
    end(farm, "new", NOW + DAY)
    end(farm, "elsewhere", NOW, output="elsewhere/")
    farm.forget(NOW + 1)
    assert [f.failure.traceback for f in farm.failures("new")] == ["Traceback of out/"]
    assert rows(farm)["tracebacks"] == 1


def test_farms_go_once_they_are_dead_and_own_nothing(
    farm: Ledger, open_ledger: Callable[[], Ledger]
) -> None:
    ended, owner = open_ledger(), open_ledger()
    for other in (ended, owner):
        other.beat(NOW)
    owner.add(Job("job", SPEC, NOW), ready("a"))
    farm.beat(NOW + DAY)
    farm.forget(NOW + DAY)
    assert rows(farm)["farms"] == 2


def test_the_files_of_a_forgotten_job_stay(farm: Ledger, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    picture.write_text("a picture")
    spec = JobSpec(task="copy", inputs=("in",), output=str(picture))
    job = Job("job", spec, NOW)
    farm.add(job, [RestoredUnit(Unit("job", "a", "in", str(picture)), S.SUCCEEDED)])
    farm.record([JobChanged(replace(job, state=JobState.COMPLETED))], NOW)
    assert farm.forget(NOW + 1) == 1
    assert picture.read_text() == "a picture"


def test_a_large_job_is_removed_a_little_at_a_time(
    farm: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "ROWS", 2)
    end(farm, "old", NOW)
    commits: list[dict[str, int]] = []
    event.listen(farm._engine, "commit", lambda _: commits.append({}))
    farm.forget(NOW + 1)
    assert len(commits) >= 5
    assert names(farm) == []


def test_what_was_left_when_removal_was_interrupted_goes_the_next_time(farm: Ledger) -> None:
    before = rows(farm)
    end(farm, "old", NOW)
    with farm._engine.begin() as connection:
        connection.execute(text("DELETE FROM failures"))
        connection.execute(text("DELETE FROM units WHERE job = 'old' AND number = 0"))
    farm.forget(NOW + 1)
    assert rows(farm) == before | {"tracebacks": 1}


def test_a_job_that_is_tried_again_while_it_is_forgotten_keeps_what_is_left(
    farm: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(farm, "old", NOW)
    monkeypatch.setattr(forgetting, "ROWS", 1)
    with farm._write() as connection:
        assert forgetting.remove_some(connection, "old")
    farm.reopen("old", NOW + 1)
    farm.record([JobChanged(Job("old", SPEC, NOW - 10))], NOW + 1)
    before = rows(farm)
    farm.forget_job("old")
    assert rows(farm) == before


def test_a_job_that_is_half_forgotten_cannot_be_tried_again(
    farm: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    end(farm, "old", NOW)
    monkeypatch.setattr(forgetting, "ROWS", 1)
    while len(farm.units("old")) == 2:
        with farm._write() as connection:
            forgetting.remove_some(connection, "old")
    with pytest.raises(Conflict, match="job old is being forgotten"):
        farm.reopen("old", NOW + 1)
    farm.forget_job("old")
    assert names(farm) == []
    with pytest.raises(Conflict, match="job old has been forgotten"):
        farm.reopen("old", NOW + 1)
