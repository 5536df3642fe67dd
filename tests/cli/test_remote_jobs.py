"""farm submit, jobs, job and workers ask a service, and without one look into the ledger."""

import hashlib
import json
import logging
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Thread
from typing import Any

import pytest

from farm.cli import _run
from farm.cli.exits import EXPECTED, exit_code, one_line
from farm.ledger import Ledger
from farm.model.events import JobChanged, UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.unit import Unit, UnitState

from ..client.fake_service import ESTIMATE, Fake, served  # noqa: TID252 - shared between rooms
from .conftest import Done

Farm = Callable[..., Done]


@pytest.fixture
def farm(
    effects: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Farm:
    """Run a command in tmp_path, with its own ledger and the tasks of the effects folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.delenv("FARM_SERVER", raising=False)

    def run(*words: object) -> Done:
        error = ""
        try:
            code: Any = _run(["--plugins-dir", str(effects), *map(str, words)])
        except EXPECTED as expected:
            code, error = exit_code(expected), f"{one_line(expected)}\n"
        printed = capsys.readouterr()
        return Done(int(code or 0), printed.out, printed.err + error)

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, farm: Farm) -> Iterator[Fake]:
    """A service, named by FARM_SERVER."""
    fake = Fake()
    with served(fake) as url:
        monkeypatch.setenv("FARM_SERVER", url)
        yield fake


def submitted(farm: Farm, *words: object) -> str:
    done = farm("submit", "invert", "photos/", "-o", "out/job/", *words)
    assert done.code == 0, done.errors
    return done.results.strip()


# Submit


def test_submit_prints_the_id_of_the_job(farm: Farm, fake: Fake) -> None:
    job = submitted(
        farm, "--amount", "0.5", "--seed", 3, "--submit-once", "nightly", "--priority", 80
    )
    assert submitted(farm, "--submit-once", "nightly") == job
    assert fake.jobs[job]["spec"]["params"] == {"amount": "0.5"}
    assert fake.jobs[job]["priority"] == 80


def test_submit_prints_what_was_left_out_of_the_inputs_once(
    farm: Farm, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in the command
    fake.ends = {"notes": ["2 pictures or films in subfolders were left out"]}
    done = farm("submit", "invert", "photos/", "-o", "out/job/")
    assert done.errors == "note: 2 pictures or films in subfolders were left out\n"
    shown = farm("job", done.results.strip()).results
    assert "note\t2 pictures or films in subfolders were left out\n" in shown


def test_a_job_may_start_after_others(farm: Farm, fake: Fake) -> None:
    first = submitted(farm)
    last = submitted(farm, "--after", first)
    assert fake.jobs[last]["after"] == [first]


def test_a_dry_run_says_what_a_job_would_cost_and_submits_nothing(farm: Farm, fake: Fake) -> None:
    done = farm("submit", "invert", "photos/", "-o", "out/job/", "--dry-run")
    assert done.code == 0, done.errors
    assert done.results.splitlines() == [
        "would do 3 units, 6.0 megapixels",
        "time: about 1:30 (15.0 s per megapixel, as measured on 40 frames)",
        "nothing is known of png",
    ]
    as_json = farm("submit", "invert", "photos/", "-o", "out/job/", "--dry-run", "--json")
    assert json.loads(as_json.results)["seconds"] == 90.0
    assert fake.jobs == {}


def test_a_dry_run_of_one_unit_is_not_of_1_units(
    farm: Farm, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ESTIMATE, "units", 1)
    done = farm("submit", "invert", "photos/a.png", "-o", "out/a.png", "--dry-run")
    assert done.results.startswith("would do 1 unit, 6.0 megapixels\n")


def test_a_tasks_own_command_submits_with_a_server(farm: Farm, fake: Fake) -> None:
    with served(fake) as url:
        done = farm("invert", "photos/", "-o", "out/job/", "--server", url)
    assert done.results.strip() in fake.jobs


def test_options_of_this_machine_are_refused_with_a_server(farm: Farm, fake: Fake) -> None:
    done = farm("invert", "photos/", "-o", "out/", "--server", "http://a", "--metrics-port", 9100)
    assert done.code == 2
    assert "--metrics-port counts only without --server" in done.errors


def test_a_refused_parameter_is_named_by_its_flag(farm: Farm, fake: Fake) -> None:
    done = farm("submit", "invert", "photos/", "-o", "out/job/", "--amount", 7)
    assert done.code == 2
    assert "--amount: should be at most 1" in done.errors


def test_submit_waits_for_the_end(farm: Farm, fake: Fake) -> None:
    done = farm("submit", "invert", "photos/", "-o", "out/job/", "--wait")
    assert done.code == 0
    assert done.results.endswith("completed; did 3 of 3 units\n")


def test_without_a_service_submit_says_how_to_start_one(farm: Farm) -> None:
    done = farm("submit", "invert", "a.png", "-o", "b.png")
    assert done.code == 2
    assert "farm serve" in done.errors


# Look and change


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ({"state": "completed"}, 0),
        ({"state": "completed", "failed": 1}, 1),
        ({"state": "completed_with_failures", "failed": 1}, 1),
        ({"state": "cancelled"}, 3),
        ({"state": "failed", "reason": "too many frames failed"}, 4),
    ],
)
def test_watch_ends_with_a_code_that_says_how(
    farm: Farm, fake: Fake, ends: dict[str, object], code: int
) -> None:
    fake.ends = ends
    done = farm("job", submitted(farm), "watch")
    assert done.code == code
    assert str(ends.get("reason", "")) in done.results


def test_other_ends_of_watch_have_codes_of_their_own(farm: Farm, fake: Fake) -> None:
    assert farm("job", "nothing", "watch").code == 2
    assert farm("job", "nothing", "watch", "--server", "http://127.0.0.1:9").code == 5


def test_watch_says_which_frames_failed_and_what_to_do(farm: Farm, fake: Fake) -> None:
    fake.ends = {"state": "completed_with_failures", "failed": 1}
    job = submitted(farm)
    fake.tell(job, "b", "quarantined", "photos/b.png: is damaged")
    done = farm("job", job, "watch")
    assert done.results.splitlines() == [
        "b failed: photos/b.png: is damaged",
        f"{job} completed with failures; did 3 of 3 units, 1 failed",
    ]
    assert f"farm job {job} retry" in done.errors
    shown = farm("job", job).results
    assert "failed\tb: photos/b.png: is damaged" in shown
    assert f"farm job {job} log" in shown


def test_watch_says_once_that_a_job_is_cancelled(farm: Farm, fake: Fake) -> None:
    fake.hanging, fake.ends = ["a", "b", "c"], {}
    job = submitted(farm)

    def cancel() -> None:
        while not fake.streams:
            Event().wait(0.01)
        for name in "abc":
            fake.tell(job, name, "cancelled")
        fake.jobs[job] |= {"state": "cancelled", "reason": "cancelled"}

    ending = Thread(target=cancel)
    ending.start()
    done = farm("job", job, "watch")
    ending.join()
    assert (done.code, done.results) == (3, f"{job} cancelled; did 0 of 3 units\n")


def watched_to_its_end(farm: Farm, fake: Fake, job: str) -> list[str]:
    """Return what watch prints of a job that ends only once it is watched."""

    def finish() -> None:
        while fake.looks < 2:  # of the command: whether there is such a job, and how it is
            Event().wait(0.01)
        fake.finish(job)

    ending = Thread(target=finish)
    ending.start()
    lines: list[str] = farm("job", job, "watch").results.splitlines()
    ending.join()
    return lines


def test_watch_says_why_a_job_waits_and_that_the_farm_does_not_answer(
    farm: Farm, fake: Fake
) -> None:
    fake.hanging, fake.down = ["a"], 4
    job = submitted(farm)
    fake.jobs[job]["reason"] = "all workers are busy"
    lines = watched_to_its_end(farm, fake, job)
    assert lines[0].startswith("the farm does not answer (the ledger is locked); trying again")
    assert lines[1:4] == [
        "the farm answers again",
        "did 2 of 3 units already",
        "running: all workers are busy",
    ]


def test_submit_says_which_result_is_whose_if_files_that_are_sent_have_one_name(
    farm: Farm, fake: Fake, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("n1/x.jpg", "n2/x.jpg", "n2/y.jpg")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(str(file))
    done = farm("submit", "invert", *files, "-o", "out/job/")
    digests = [hashlib.sha256(file.read_bytes()).hexdigest()[:8] for file in files]
    lines = [f"note: {file} is rendered as {d}_x" for file, d in zip(files, digests, strict=True)]
    assert done.errors.splitlines() == lines[:2]
    assert farm("submit", "invert", *files[1:], "-o", "out/job/").errors == ""


def test_watch_says_what_was_done_before_it_came(farm: Farm, fake: Fake) -> None:
    fake.hanging = ["c"]
    job = submitted(farm)
    lines = watched_to_its_end(farm, fake, job)
    assert lines == [
        "did 2 of 3 units already",
        "c succeeded",
        f"{job} completed; did 3 of 3 units",
    ]


def test_watch_prints_events_as_json(farm: Farm, fake: Fake) -> None:
    done = farm("job", submitted(farm), "watch", "--json")
    events = [json.loads(line) for line in done.results.splitlines()]
    assert (events[-1]["event"], events[-1]["state"]) == ("job", "completed")


def test_jobs_and_workers_are_listed(farm: Farm, fake: Fake) -> None:
    job = submitted(farm)
    assert f"{job}\tinvert\tcompleted\t3 of 3 units\t" in farm("jobs").results
    assert [row["id"] for row in json.loads(farm("jobs", "--json").results)] == [job]
    assert farm("jobs", "--state", "failed").results.count("\n") == 1
    assert farm("jobs").results.rstrip().endswith("\tphotos/ -> out/job/")
    submitted(farm, "--name", "nightly clouds")
    assert "\tnightly clouds\n" in farm("jobs").results
    assert "w1\trender" in farm("workers").results
    assert json.loads(farm("workers", "--json").results)[0]["name"] == "w1"


def test_a_job_is_shown_with_the_command_that_submits_it_again(farm: Farm, fake: Fake) -> None:
    job = submitted(farm, "--amount", "0.5")
    assert "again\tfarm submit invert --amount=0.5 --output=out/job/ photos/" in (
        farm("job", job).results
    )
    assert json.loads(farm("job", job, "show", "--json").results)["state"] == "completed"


def test_a_job_is_changed(farm: Farm, fake: Fake) -> None:
    fake.hanging = ["a"]
    job = submitted(farm)
    fake.jobs[job]["counts"] = {"running": 2}
    assert farm("job", job, "pause").results == (f"{job} is being paused; 2 units run to the end\n")
    fake.jobs[job]["counts"] = {}
    assert farm("job", job, "pause").results.startswith(f"{job} is paused; it goes on with: farm")
    assert farm("job", job, "priority", 70).results == f"{job} has priority 70\n"
    assert farm("job", job, "resume").results == f"{job} goes on\n"
    assert farm("job", job, "retry").code == 0
    assert farm("job", job, "why").results == "the job does not wait\n"
    assert farm("job", job, "cancel").results == (
        f"{job} is cancelled; files that are finished stay\n"
    )
    assert farm("job", job, "resume").code == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("job", "copy-1", "priority", "-3"), "'-3' is not allowed; give a whole number, 0 to 100"),
        (("job", "watch"), "the job is missing: give farm job ID watch"),
        (("jobs", "--state", "finished"), "unknown state 'finished'; choose one of planning"),
        (("jobs", "--task", "inver"), "unknown task 'inver'; did you mean invert"),
    ],
)
def test_what_is_wrong_with_a_command_is_said(
    farm: Farm, stored: str, words: tuple[str, ...], message: str
) -> None:
    done = farm(*words)
    assert (done.code, message in done.errors) == (2, True), done.errors


def test_a_fetch_of_nothing_is_no_success(farm: Farm, fake: Fake, tmp_path: Path) -> None:
    job = submitted(farm)
    fake.paths = []
    done = farm("job", job, "fetch", "-o", tmp_path)
    assert (done.code, "has no results to fetch: it is completed" in done.errors) == (2, True)


def test_results_are_fetched(farm: Farm, fake: Fake, tmp_path: Path) -> None:
    done = farm("job", submitted(farm), "fetch", "-o", tmp_path / "here")
    assert "fetched 3 files" in done.results
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == [
        "a.png",
        "b.png",
        "c.png",
    ]


def test_a_fetch_says_what_was_there_already(farm: Farm, fake: Fake, tmp_path: Path) -> None:
    words = ("job", submitted(farm), "fetch", "-o", "here")
    assert farm(*words).results == "fetched 3 files into here\n"
    assert farm(*words).results == "nothing to fetch: all 3 files are in here already\n"
    (tmp_path / "here" / "b.png").unlink()
    assert farm(*words).results == "fetched 1 file into here; 2 were there already\n"
    assert farm(*words, "--overwrite").results == "fetched 3 files into here\n"


def test_a_fetch_replaces_no_file_of_the_user(farm: Farm, fake: Fake, tmp_path: Path) -> None:
    job, mine = submitted(farm), tmp_path / "b.png"
    mine.write_text("mine")
    done = farm("job", job, "fetch")
    assert (done.code, "b.png: it exists with other contents" in done.errors) == (2, True)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["b.png"]
    assert mine.read_text() == "mine"
    assert farm("job", job, "fetch", "--overwrite").code == 0
    assert mine.read_bytes().startswith(b"\x89PNG")


def test_text_of_a_service_cannot_move_the_cursor(farm: Farm, fake: Fake) -> None:
    fake.ends = {"state": "failed", "reason": "\x1b[2Jgone\u202e", "task": "\x1b[31mred"}
    job = submitted(farm)
    for done in (farm("job", job, "watch"), farm("job", job), farm("jobs")):
        assert "\x1b" not in done.results
        assert "\u202e" not in done.results
        assert r"\x1b[" in done.results


def test_a_job_that_was_run_beside_the_farm_is_shown_as_it_was_run(
    farm: Farm, fake: Fake, stored: str
) -> None:
    job = submitted(farm)
    spec = {"task": "invert", "params": {}, "inputs": ["-/in"], "output": "-/out/"}
    fake.jobs[stored] = fake.jobs[job] | {"id": stored, "spec": spec}
    fake.story[stored] = fake.story[job]
    assert (
        "again\tfarm invert --amount=0.25 --output=out/ 'in put/'\n" in farm("job", stored).results
    )
    done = farm("job", stored, "fetch")
    assert (done.code, "outside its roots: out/" in done.errors) == (2, True)
    fake.jobs[job] |= {"spec": spec}
    assert "again\ton the farm's machine, as `farm job" in farm("job", job).results
    assert f"`farm job {job}` says where" in farm("job", job, "fetch").errors


# Without a service


@pytest.fixture
def stored(farm: Farm, tmp_path: Path) -> str:
    """A job in the ledger, of which one frame is done and one failed."""
    spec = JobSpec(task="invert", inputs=("in put/",), output="out/", params={"amount": 0.25})
    job = Job("invert-1", spec, 1.0)
    units = [Unit(job.id, name, "in", f"out/{name}.png") for name in ("a", "b")]
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        ledger.add(job, [RestoredUnit(unit, UnitState.READY) for unit in units])
        changes = [
            UnitChanged(units[0], UnitState.SUCCEEDED, 1),
            UnitChanged(units[1], UnitState.QUARANTINED, 1, "is damaged"),
        ]
        ledger.record([*changes, JobChanged(Job(job.id, spec, 1.0, JobState.COMPLETED))], 2.0)
    return job.id


def test_the_jobs_of_this_machine_are_listed(farm: Farm, stored: str) -> None:
    assert f"{stored}\tinvert\tcompleted\t1 of 2 frames, 1 failed\t" in farm("jobs").results
    assert json.loads(farm("jobs", "--json", "--state", "running").results) == []
    assert (
        "unknown state 'runing'; did you mean running?" in farm("jobs", "--state", "runing").errors
    )


@pytest.mark.parametrize("words", [("jobs",), ("job", "a"), ("job", "a", "retry")])
def test_commands_that_read_create_no_ledger_where_its_name_is_wrong(
    farm: Farm, tmp_path: Path, words: Sequence[str]
) -> None:
    done = farm(*words)
    assert (done.code, len(done.errors.splitlines())) == (2, 1)
    assert f"there is no ledger at {tmp_path}/ledger.db; the first job creates it" in done.errors
    assert list(tmp_path.glob("*.db*")) == []


def test_there_are_no_jobs_before_the_first(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FARM_LEDGER")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = farm("jobs")
    assert (done.code, done.errors, done.results.count("\n")) == (0, "no jobs yet\n", 1)
    assert json.loads(farm("jobs", "--json").results) == []
    assert farm("job", "a").code == 2
    assert not (tmp_path / "state").exists()


def test_a_job_whose_farm_is_dead_is_interrupted(farm: Farm, tmp_path: Path) -> None:
    spec = JobSpec(task="invert", inputs=("in",), output="out/")
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        ledger.add(Job("killed", spec, 1.0, JobState.RUNNING), [])
        ledger.add(Job("living", spec, 2.0, JobState.RUNNING), [])
        assert "killed\tinvert\tinterrupted\t" in farm("jobs").results
        shown = farm("job", "killed").results
        assert "state\tinterrupted\n" in shown
        assert (
            "reason\tthe farm that ran it is gone; run it again with --resume to go on\n" in shown
        )
        assert farm("jobs", "--state", "interrupted").results.count("\tinterrupted\t") == 2
        assert farm("jobs", "--state", "running").results.count("\n") == 1
        assert "jobs\t2 interrupted\n" in farm("ledger", "info").results
        ledger.beat(time.time())
        assert "interrupted" not in farm("jobs").results
        assert farm("jobs", "--state", "interrupted").results.count("\n") == 1
        assert farm("jobs", "--state", "running").results.count("\trunning\t") == 2
        assert "jobs\t2 running\n" in farm("ledger", "info").results
        known = json.loads(farm("jobs", "--json").results)
        assert [(job["state"], job["interrupted"]) for job in known] == [("running", False)] * 2


@pytest.mark.parametrize("is_set", [True, False])
def test_a_farm_is_not_asked_for_interrupted_jobs(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, *, is_set: bool
) -> None:
    url = "http://127.0.0.1:9"
    if is_set:
        monkeypatch.setenv("FARM_SERVER", url)
    done = farm("jobs", "--state", "interrupted", *([] if is_set else ["--server", url]))
    assert (done.code, done.results) == (2, "")
    assert done.errors == (
        "a job is interrupted only in the ledger of this machine, and the farm at "
        "http://127.0.0.1:9 goes on with its own when it starts; leave --server out, and FARM_SERVER "
        "unset, to list them\n"
    )


def test_an_interrupted_job_is_listed_with_the_one_that_resumed_it(
    farm: Farm, tmp_path: Path
) -> None:
    spec = JobSpec(task="invert", inputs=("in",), output="out/")
    before, after = (Job(name, spec, 1.0, JobState.RUNNING) for name in ("first", "next"))
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        ledger.add(before, [])
        ledger.replace(before, after, [], 2.0)
        assert "first\tinvert\tresumed as next\t" in farm("jobs").results
        assert farm("job", "first").results.count("resumed as next\n") == 1


def test_an_interrupted_job_is_listed_with_the_one_that_wrote_its_files_later(
    farm: Farm, tmp_path: Path
) -> None:
    spec = JobSpec(task="invert", inputs=("in",), output="out/")
    beside = spec.model_copy(update={"inputs": ("others",)})  # into the same folder
    old = time.time() - 3600
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        ledger.add(Job("first", spec, old, JobState.RUNNING), [])
        ledger.add(Job("other", beside, old, JobState.RUNNING), [])
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        after = Job("next", spec, time.time(), JobState.RUNNING)
        ledger.add(after, [])
        ledger.record([JobChanged(replace(after, state=JobState.COMPLETED))], time.time())
    listed = farm("jobs").results
    assert "first\tinvert\treplaced by next\t" in listed
    assert "other\tinvert\tinterrupted\t" in listed


def test_a_job_of_this_machine_is_shown_with_the_command_that_runs_it(
    farm: Farm, stored: str
) -> None:
    known = json.loads(farm("job", stored, "show", "--json").results)
    assert shlex.split(known["command"]) == [
        *("farm", "invert", "--amount=0.25", "--output=out/", "in put/")
    ]
    assert shlex.split(farm("job", stored, "retry").results) == [
        *("farm", "invert", "--amount=0.25", "--resume", "--output=out/", "in put/")
    ]
    assert "no job has the id none" in farm("job", "none", "show").errors


def test_what_a_killed_comparison_has_left_is_forgotten(farm: Farm, tmp_path: Path) -> None:
    temporary = Path(mkdtemp(prefix="farm-sheet-"))
    elsewhere = tmp_path / temporary.name
    elsewhere.mkdir()
    places = {"sheet": temporary, "copy": elsewhere, "mine": tmp_path / "farm-sheet-of-mine"}
    jobs = [
        Job(name, JobSpec(task="invert", inputs=("in",), output=str(place / "0.png")), 1.0)
        for name, place in places.items()
    ]
    living = Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")
    living.beat(time.time())
    for job in jobs:
        living.add(job, [RestoredUnit(Unit(job.id, "a", "in", "out"), UnitState.READY)])
    assert "sheet\t" in farm("jobs").results
    assert temporary.exists()
    living.leave(time.time())
    listed = farm("jobs").results
    assert ("sheet\t" in listed, "mine\t" in listed) == (False, True)
    assert [job.id for job in living.jobs()] == ["mine"]
    assert (temporary.exists(), elsewhere.exists()) == (False, True)
    living.close()


def test_a_file_that_was_sent_has_its_own_name_in_lists(farm: Farm, tmp_path: Path) -> None:
    sent = f"/srv/ledger-service/uploads/{'0a' * 32}/fox.jpg"
    spec = JobSpec(task="invert", inputs=(sent,), output="/out/a.png")
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        ledger.add(Job("one", spec, 1.0), [])
    assert "\tfox.jpg -> /out/a.png\n" in farm("jobs").results
    shown = farm("job", "one").results
    assert "inputs\tfox.jpg\n" in shown
    assert f"--output=/out/a.png {sent}\n" in shown  # the command that runs it again


def test_the_beginning_of_an_id_names_a_job_of_this_machine(farm: Farm, stored: str) -> None:
    for words in ("show", "log"):
        assert farm("job", stored[:-1], words).results == farm("job", stored, words).results


def test_the_beginning_of_several_ids_is_refused_with_those(farm: Farm, tmp_path: Path) -> None:
    spec = JobSpec(task="invert", inputs=("in",), output="out/")
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        for name in ("invert-1", "invert-10", "invert_2"):
            ledger.add(Job(name, spec, 1.0), [])
    assert "job\tinvert-1\n" in farm("job", "invert-1").results
    done = farm("job", "invert", "log")
    assert (done.code, "with invert: invert-1, invert-10, invert_2; give" in done.errors) == (
        2,
        True,
    )
    assert "job\tinvert_2\n" in farm("job", "invert_").results


def test_a_job_that_replaced_outputs_is_retried_without_replacing_what_is_done(
    farm: Farm, tmp_path: Path
) -> None:
    spec = JobSpec(task="invert", inputs=("in",), output="out/", overwrite=True)
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        ledger.add(Job("done", spec, 1.0, JobState.FAILED), [])
    words = shlex.split(farm("job", "done", "retry").results)
    assert "--resume" in words
    assert "--overwrite" not in words


def test_the_log_of_a_job_of_this_machine_is_shown(farm: Farm, stored: str) -> None:
    lines = json.loads(farm("job", stored, "log", "--json").results)
    assert [(line["unit"], line["state"]) for line in lines] == [
        ("a", "succeeded"),
        ("b", "quarantined"),
    ]


def test_what_only_a_farm_can_do_is_refused(farm: Farm, stored: str) -> None:
    for action in ("watch", "pause", "resume", "cancel", "why", "fetch"):
        done = farm("job", stored, action)
        assert (done.code, "farm serve" in done.errors) == (2, True)
