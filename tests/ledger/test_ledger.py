"""What was written stays, whatever is killed; what cannot be opened says why in a line."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import UserError
from farm.ledger import Ledger
from farm.model.events import JobChanged, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState, Plan, Wanted
from farm.model.messages import Failure, Figures, Reason
from farm.model.unit import Unit, UnitState

S = UnitState

FIGURES = Figures({"load": 0.25, "compute": 2.0, "write": 0.5}, 64, 16, 2, "ab" * 32, "cd" * 32)


def job(name: str = "j1", created: float = 1.0, **spec: object) -> Job:
    fields = {"task": "copy", "inputs": ("in",), "output": "out/", **spec}
    return Job(name, JobSpec.model_validate(fields), created)


def unit(name: str = "a", job: str = "j1", needs: tuple[str, ...] = ()) -> Unit:
    return Unit(job, name, f"in/{name}", f"out/{name}", needs)


def entering(*names: str, job: str = "j1") -> list[RestoredUnit]:
    return [RestoredUnit(unit(name, job), S.READY) for name in names]


def succeeded(name: str, job: str = "j1", figures: Figures = FIGURES) -> UnitChanged:
    return UnitChanged(unit(name, job), S.SUCCEEDED, 1, worker="w1", figures=figures)


def refusal(url: str) -> str:
    with pytest.raises(UserError, match="cannot open the ledger") as caught:
        Ledger.open(url)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_job_comes_back_as_it_was(ledger: Ledger) -> None:
    plan = Plan(tile=256, seed=2**63 - 1, threads=3, precision="float64")
    params = {"layer": "4c", "layers": ["é", 1, None], "amount": 0.1}
    spec = {"params": params, "inputs": ("a", "b*"), "plan": plan, "priority": 7, "frames": "1-9"}
    made = job(**spec)
    ledger.add(made, entering("a"))
    assert ledger.job("j1") == made
    assert ledger.jobs() == [made]


def test_units_come_back_in_their_order_with_what_they_need(ledger: Ledger) -> None:
    units = [unit("frame9"), unit("frame10"), unit("cut", needs=("frame9", "frame10"))]
    ledger.add(job(), [RestoredUnit(u, S.BLOCKED if u.needs else S.READY) for u in units])
    assert [record.unit for record in ledger.units("j1")] == units
    assert [record.state for record in ledger.units("j1")] == [S.READY, S.READY, S.BLOCKED]


def test_figures_come_back_as_they_were(ledger: Ledger) -> None:
    ledger.add(job(), entering("a", "b"))
    ledger.record([succeeded("a")], 2.0)
    done, open_ = ledger.units("j1")
    assert (done.state, done.attempts, done.figures) == (S.SUCCEEDED, 1, FIGURES)
    assert (open_.state, open_.figures) == (S.READY, None)


def test_every_failure_is_kept_with_its_traceback(ledger: Ledger) -> None:
    ledger.add(job(), entering("a", "b"))
    first = Failure(Reason.MEMORY, "cuda:0 is full", traceback="Traceback ...")
    second = Failure(Reason.PLUGIN_ERROR, "KeyError: 'colour'")
    for attempt, failure in enumerate((first, second), 1):
        change = UnitChanged(unit("a"), S.RETRY_WAIT, attempt, failure.message, failure=failure)
        ledger.record([change], 2.0)
    failed, well = ledger.units("j1")
    assert failed.failures == (first, second)
    assert failed.reason == second.message
    assert failed.restored.failures == (Reason.MEMORY, Reason.PLUGIN_ERROR)
    assert well.failures == ()


def test_a_jobs_state_and_what_is_wanted_of_it_are_kept(ledger: Ledger) -> None:
    made = job()
    ledger.add(made, entering("a"))
    ended = replace(made, state=JobState.FAILED, wanted=Wanted.PAUSE, reason="no unit succeeded")
    ledger.record([JobChanged(ended)], 2.0)
    assert ledger.job("j1") == ended


def test_a_job_nobody_added_is_not_there(ledger: Ledger) -> None:
    assert ledger.job("j1") is None
    assert ledger.find(job().spec.key) is None
    assert ledger.units("j1") == []


def test_a_job_is_added_with_all_its_units_or_not_at_all(ledger: Ledger) -> None:
    stray = [*entering("a"), *entering("b", job="nobody's")]
    with pytest.raises(UserError, match="the ledger failed: FOREIGN KEY"):
        ledger.add(job(), stray)
    assert ledger.jobs() == []
    assert ledger.units("j1") == []


def test_changes_are_recorded_all_or_none(ledger: Ledger) -> None:
    ledger.add(job(), entering("a", "b"))

    def changes() -> Iterator[UnitChanged]:
        yield succeeded("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.record(changes(), 2.0)
    assert [record.state for record in ledger.units("j1")] == [S.READY, S.READY]


def test_the_latest_job_that_asked_for_the_same_is_found(ledger: Ledger) -> None:
    for name, created, priority in (("old", 1.0, 10), ("new", 3.0, 90), ("mid", 2.0, 50)):
        ledger.add(job(name, created, priority=priority), entering("a", job=name))
    ledger.add(job("other", 4.0, output="elsewhere/"), entering("a", job="other"))
    found = ledger.find(job().spec.key)
    assert found is not None
    assert found.id == "new"


def test_the_latest_success_of_each_frame_is_found(ledger: Ledger) -> None:
    for name, created in (("old", 1.0), ("new", 2.0)):
        ledger.add(job(name, created), entering("a", "b", job=name))
    later = replace(FIGURES, target_sha256="ef" * 32)
    ledger.record([succeeded("a", "old"), succeeded("b", "old")], 1.0)
    ledger.record([succeeded("a", "new", later)], 2.0)
    found = ledger.finished(job().spec.key)
    assert {target: record.figures for target, record in found.items()} == {
        "out/a": later,
        "out/b": FIGURES,
    }
    assert ledger.finished(job(output="elsewhere/").spec.key) == {}


def test_farms_that_ended_with_a_unit_in_their_hands_are_counted(ledger: Ledger) -> None:
    for number in range(3):
        name = f"j{number}"
        ledger.add(job(name, number), entering("a", "b", "c", job=name))
        running = [UnitChanged(unit(u, name), S.RUNNING, 1) for u in "ab"]
        ledger.record(running, number)
    ledger.record([succeeded("b", "j1")], 4.0)
    assert ledger.crashes(job().spec.key) == {"out/a": 3, "out/b": 1}


def test_the_story_tells_who_did_what_when(ledger: Ledger) -> None:
    ledger.add(job(), entering("a"))
    ledger.record([UnitChanged(unit("a"), S.LEASED, 1, worker="w1")], 2.5)
    ledger.record([UnitChanged(unit("a"), S.RETRY_WAIT, 1, "it broke", worker="w1")], 3.0)
    assert ledger.story("j1") == [
        "2.500 a leased attempt 1 w1",
        "3.000 a retry_wait attempt 1 w1 it broke",
    ]


def test_what_is_closed_is_there_when_opened_again(ledger: Ledger, ledger_url: str) -> None:
    ledger.add(job(), entering("a"))
    ledger.record([succeeded("a")], 2.0)
    ledger.close()
    again = Ledger.open(ledger_url)
    assert again.units("j1")[0].figures == FIGURES
    again.close()


@pytest.mark.parametrize(("setting", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
def test_a_commit_is_on_the_disk_before_it_counts(
    ledger: Ledger, setting: str, value: str | int
) -> None:
    with ledger._engine.connect() as connection:
        assert connection.exec_driver_sql(f"PRAGMA {setting}").scalar() == value


WRITER = dedent("""
    import sys
    from farm.model.history import RestoredUnit
    from farm.model.events import UnitChanged
    from farm.model.messages import Figures
    from farm.model.job import Job, JobSpec
    from farm.model.unit import Unit, UnitState
    from farm.ledger import Ledger

    units = [Unit("j1", f"u{n}", "in", f"out/{n}") for n in range(5000)]
    ledger = Ledger.open(sys.argv[1])
    spec = JobSpec(task="copy", inputs=("in",), output="out/")
    ledger.add(Job("j1", spec, 1.0), [RestoredUnit(u, UnitState.READY) for u in units])
    for unit in units:
        done = UnitChanged(unit, UnitState.SUCCEEDED, 1, figures=Figures(target_sha256=unit.name))
        ledger.record([done], 2.0)
        print(unit.name, flush=True)
""")


@pytest.mark.slow
@pytest.mark.parametrize("before", [1, 30, 97])
def test_every_row_that_was_acknowledged_survives_a_kill(ledger_url: str, before: int) -> None:
    command = [sys.executable, "-c", WRITER, ledger_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        acknowledged = [writer.stdout.readline().strip() for _ in range(before)]
        writer.send_signal(signal.SIGKILL)
        acknowledged += writer.stdout.read().split()
    assert writer.returncode == -signal.SIGKILL
    ledger = Ledger.open(ledger_url)
    stored = {
        record.unit.name: record.figures.target_sha256
        for record in ledger.units("j1")
        if record.state is S.SUCCEEDED and record.figures
    }
    ledger.close()
    assert len(acknowledged) >= before
    assert {name: name for name in acknowledged}.items() <= stored.items()
    assert len(stored) <= len(acknowledged) + 1


def test_a_ledger_of_another_version_is_refused(ledger: Ledger, ledger_url: str) -> None:
    ledger.close()
    with sqlite3.connect(ledger_url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE about SET schema = 99")
    connection.close()
    assert "is of version 99, this farm writes 2; set FARM_LEDGER to another file" in refusal(
        ledger_url
    )


def test_a_database_of_something_else_is_refused_and_left_alone(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    assert "it holds bookmarks and is no ledger" in refusal(f"sqlite:///{file}")
    with sqlite3.connect(file) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == [("bookmarks",)]


@given(content=st.binary(min_size=100))
def test_a_file_that_is_no_database_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("ledger") / "holiday.jpg"
    file.write_bytes(content)
    message = refusal(f"sqlite:///{file}")
    assert "file is not a database" in message
    assert "\n" not in message
    assert file.read_bytes() == content


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    message = refusal(f"sqlite:///{tmp_path}/file/farm/ledger.db")
    assert "Not a directory" in message
    assert "set FARM_LEDGER to another file" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+nobody://farm:hunter2@db.example/farm",
        "nobody://farm:hunter2@db.example/farm",
        "postgresql://farm:hunter2@db.example:port/farm",
        "farm:hunter2@db.example",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    message = refusal(url)
    assert "hunter2" not in message
    assert "\n" not in message


def test_a_password_that_is_hidden_leaves_the_rest_of_the_address() -> None:
    assert "nobody://farm:***@db.example/farm" in refusal("nobody://farm:hunter2@db.example/farm")


def test_a_ledger_from_before_films_goes_on(ledger_url: str, spec: JobSpec) -> None:
    ledger = Ledger.open(ledger_url)
    job = Job("job", spec, 1.0)
    unit = Unit("job", "a", "in/a.png", "out/a.png")
    ledger.add(job, [RestoredUnit(unit, UnitState.READY)])
    ledger.close()
    with sqlite3.connect(ledger_url.removeprefix("sqlite:///")) as connection:
        for column in ("work", "is_tolerant", "is_working"):
            connection.execute(f"ALTER TABLE units DROP COLUMN {column}")
        connection.execute("UPDATE about SET schema = 1")
    connection.close()
    for _ in range(2):
        ledger = Ledger.open(ledger_url)
        assert [record.unit for record in ledger.units("job")] == [unit]
        ledger.close()
