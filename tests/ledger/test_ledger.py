"""What the ledger stores survives a kill; a ledger that cannot be opened says why in one line."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import FarmBug, UserError
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


def restored(*names: str, job: str = "j1") -> list[RestoredUnit]:
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


def test_only_the_unfinished_jobs_are_read_that_have_a_text_in_their_spec(ledger: Ledger) -> None:
    for name, output in (("one", "/a_b/c.png"), ("other", "/axb/c.png"), ("ended", "/a_b/d.png")):
        ledger.add(job(name, output=output), restored("a", job=name))
    ledger.record([JobChanged(replace(job("ended"), state=JobState.CANCELLED))], 2.0)
    assert [found.id for found in ledger.unfinished("/a_b/")] == ["one"]


def test_a_job_is_read_back_unchanged(ledger: Ledger) -> None:
    plan = Plan(tile=256, seed=2**63 - 1, threads=3, precision="float64")
    params = {"layer": "4c", "layers": ["é", 1, None], "amount": 0.1}
    spec = {"params": params, "inputs": ("a", "b*"), "plan": plan, "priority": 7, "frames": "1-9"}
    added = job(**spec)
    ledger.add(added, restored("a"))
    assert ledger.job("j1") == added
    assert ledger.jobs() == [added]


def test_a_change_of_a_unit_does_not_write_the_inputs_of_its_job_anew(
    sqlite_url: str, file: Path
) -> None:
    """SQLite writes a row whole, so no row that changes with each unit may have a million inputs."""
    inputs = tuple(f"in/{number:09}.png" for number in range(50_000))
    with closing(Ledger.open(sqlite_url)) as ledger, closing(sqlite3.connect(file)) as other:
        ledger.add(job(inputs=inputs), restored("a"))
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ledger.record([UnitChanged(unit("a"), S.LEASED, 1)], 2.0)
        assert file.with_name(f"{file.name}-wal").stat().st_size < 200_000


def test_units_are_read_back_in_order_with_their_needs(ledger: Ledger) -> None:
    units = [unit("frame9"), unit("frame10"), unit("cut", needs=("frame9", "frame10"))]
    ledger.add(job(), [RestoredUnit(u, S.BLOCKED if u.needs else S.READY) for u in units])
    assert [record.unit for record in ledger.units("j1")] == units
    assert [record.state for record in ledger.units("j1")] == [S.READY, S.READY, S.BLOCKED]


def test_figures_are_read_back_unchanged(ledger: Ledger) -> None:
    ledger.add(job(), restored("a", "b"))
    ledger.record([succeeded("a")], 2.0)
    done, open_ = ledger.units("j1")
    assert (done.state, done.attempts, done.figures) == (S.SUCCEEDED, 1, FIGURES)
    assert (open_.state, open_.figures) == (S.READY, None)


def test_every_failure_is_stored_with_its_traceback(ledger: Ledger) -> None:
    ledger.add(job(), restored("a", "b"))
    first = Failure(Reason.MEMORY, "cuda:0 is full", traceback="Traceback ...")
    second = Failure(Reason.PLUGIN_ERROR, "KeyError: 'colour'")
    for attempt, failure in enumerate((first, second), 1):
        change = UnitChanged(unit("a"), S.RETRY_WAIT, attempt, failure.message, failure=failure)
        ledger.record([change], 2.0)
    failed, ready = ledger.units("j1")
    assert failed.failures == (first, second)
    assert failed.reason == second.message
    assert failed.restored.failures == (Reason.MEMORY, Reason.PLUGIN_ERROR)
    assert ready.failures == ()


def test_changes_of_a_job_are_stored(ledger: Ledger) -> None:
    added = job()
    ledger.add(added, restored("a"))
    ended = replace(
        added, state=JobState.FAILED, wanted=Wanted.PAUSE, reason="nothing was finished"
    )
    ledger.record([JobChanged(ended)], 2.0)
    assert ledger.job("j1") == ended


def test_a_new_priority_is_stored(ledger: Ledger) -> None:
    added = job(priority=10)
    ledger.add(added, restored("a"))
    urgent = replace(added, spec=added.spec.model_copy(update={"priority": 90}))
    ledger.record([JobChanged(urgent)], 2.0)
    assert ledger.unfinished() == [urgent]


@pytest.mark.parametrize("workers", [0, 1, 16])
def test_how_many_workers_share_a_unit_is_read_back(ledger: Ledger, workers: int) -> None:
    shared = replace(unit("a"), workers=workers)
    ledger.add(job(), [RestoredUnit(shared, S.READY)])
    assert ledger.units("j1")[0].unit == shared


def test_text_that_no_database_takes_is_stored_in_other_words(ledger: Ledger) -> None:
    ledger.add(job(), restored("a"))
    text = "cannot read a\0b\udcff.png"
    failure = Failure(Reason.PLUGIN_ERROR, text, traceback=text)
    change = UnitChanged(unit("a"), S.RETRY_WAIT, 1, text, worker=text, failure=failure)
    ledger.record([change, JobChanged(replace(job(), reason=text))], 2.0)
    shown = r"cannot read a\x00b\udcff.png"
    record = ledger.units("j1")[0]
    assert (record.reason, record.failures[0].message) == (shown, shown)
    assert record.failures[0].traceback == shown
    assert ledger.jobs()[0].reason == shown


def test_a_ledger_grows_with_what_it_contains(ledger: Ledger) -> None:
    before = ledger.size()
    ledger.add(job(), restored(*(f"u{number}" for number in range(5000))))
    assert ledger.size() > before + 5000 * 50


def test_an_unknown_job_has_no_record(ledger: Ledger) -> None:
    assert ledger.job("j1") is None
    assert ledger.find(job().spec.key) is None
    assert ledger.units("j1") == []


def test_a_job_and_its_units_are_added_in_one_transaction(ledger: Ledger) -> None:
    stray = [*restored("a"), *restored("b", job="unknown")]
    with pytest.raises(FarmBug, match=r"refuses what the farm stores: .*(?i:foreign key)"):
        ledger.add(job(), stray)
    assert ledger.jobs() == []
    assert ledger.units("j1") == []


def test_changes_are_recorded_in_one_transaction(ledger: Ledger) -> None:
    ledger.add(job(), restored("a", "b"))

    def changes() -> Iterator[UnitChanged]:
        yield succeeded("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ledger.record(changes(), 2.0)
    assert [record.state for record in ledger.units("j1")] == [S.READY, S.READY]


def test_the_latest_job_with_the_same_key_is_found(ledger: Ledger) -> None:
    for name, created, priority in (("old", 1.0, 10), ("new", 3.0, 90), ("mid", 2.0, 50)):
        ledger.add(job(name, created, priority=priority), restored("a", job=name))
    ledger.add(job("other", 4.0, output="elsewhere/"), restored("a", job="other"))
    latest = ledger.find(job().spec.key)
    assert latest is not None
    assert latest.id == "new"


def test_the_latest_success_for_each_target_is_found(ledger: Ledger) -> None:
    for name, created in (("old", 1.0), ("new", 2.0)):
        ledger.add(job(name, created), restored("a", "b", job=name))
    later = replace(FIGURES, target_sha256="ef" * 32)
    ledger.record([succeeded("a", "old"), succeeded("b", "old")], 1.0)
    ledger.record([succeeded("a", "new", later)], 2.0)
    finished = ledger.finished(job().spec.key, ["out/a", "out/b"])
    assert {target: record.figures for target, record in finished.items()} == {
        "out/a": later,
        "out/b": FIGURES,
    }
    assert ledger.finished(job(output="elsewhere/").spec.key, ["out/a"]) == {}


def test_crashes_are_counted_per_target_since_its_unit_last_ended(ledger: Ledger) -> None:
    for number in range(3):
        name = f"j{number}"
        ledger.add(job(name, number), restored("a", "b", "c", job=name))
        running = [UnitChanged(unit(u, name), S.RUNNING, 1) for u in "ab"]
        ledger.record(running, number)
    ledger.record([succeeded("b", "j1")], 4.0)
    assert ledger.crashes(job().spec.key, ["out/a", "out/b", "out/c"]) == {"out/a": 3, "out/b": 1}


def test_the_story_lists_every_change_with_its_time_and_worker(ledger: Ledger) -> None:
    ledger.add(job(), restored("a"))
    ledger.record([UnitChanged(unit("a"), S.LEASED, 1, worker="w1")], 2.5)
    ledger.record([UnitChanged(unit("a"), S.RETRY_WAIT, 1, "it broke", worker="w1")], 3.0)
    assert [str(line) for line in ledger.story("j1")] == [
        "2.500 a leased attempt 1 w1",
        "3.000 a retry_wait attempt 1 w1 it broke",
    ]


def test_a_closed_ledger_can_be_opened_again(ledger: Ledger, ledger_url: str) -> None:
    ledger.add(job(), restored("a"))
    ledger.record([succeeded("a")], 2.0)
    ledger.close()
    again = Ledger.open(ledger_url)
    assert again.units("j1")[0].figures == FIGURES
    again.close()


@pytest.mark.parametrize(("setting", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
def test_sqlite_writes_every_commit_to_disk(
    sqlite_url: str, setting: str, value: str | int
) -> None:
    with closing(Ledger.open(sqlite_url)) as ledger, ledger._engine.connect() as connection:
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
def test_every_acknowledged_row_survives_a_kill(ledger_url: str, before: int) -> None:
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


def test_a_database_of_another_program_is_refused_and_left_unchanged(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    assert refusal(f"sqlite:///{file}") == (
        f"cannot open the ledger sqlite:///{file}: the database is not a ledger; "
        "it contains bookmarks; set FARM_LEDGER to another file"
    )
    with sqlite3.connect(file) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == [("bookmarks",)]


@given(content=st.binary(min_size=100))
def test_a_file_that_is_not_a_database_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.mktemp("ledger") / "holiday.jpg"
    file.write_bytes(content)
    message = refusal(f"sqlite:///{file}")
    assert "file is not a database" in message
    assert "\n" not in message
    assert file.read_bytes() == content


def test_a_path_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
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
def test_no_error_shows_the_password(url: str) -> None:
    message = refusal(url)
    assert "hunter2" not in message
    assert "\n" not in message


def test_only_the_password_of_an_address_is_hidden() -> None:
    assert "nobody://farm:***@db.example/farm" in refusal("nobody://farm:hunter2@db.example/farm")
