"""farm ledger shows what the ledger contains, and removes what is old from it."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from farm.cli.exits import Exit
from farm.cli.ledger import ledger as command
from farm.errors import UserError
from farm.ledger import Ledger
from farm.ledger.tables import HEAD
from farm.model.events import JobChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec, JobState
from farm.model.unit import Unit, UnitState

from ..distributions import Farm  # noqa: TID252 - shared between rooms

DAY = 86_400
NOW = time.time()


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The ledger of FARM_LEDGER, with jobs that ended 1, 10 and 100 days ago, and one that runs."""
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    spec = JobSpec(task="copy", inputs=("in",), output="out/")
    with closing(Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")) as ledger:
        for days in (0, 1, 10, 100):
            at = NOW - days * DAY
            job = Job(f"job{days}", spec, at)
            ledger.add(job, [RestoredUnit(Unit(job.id, "a", "in", "out"), UnitState.READY)])
            if days:
                ledger.record([JobChanged(replace(job, state=JobState.COMPLETED))], at)
        yield ledger


def run(*arguments: str) -> str:
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    return done.output


def test_info_names_the_ledger_its_jobs_and_its_service(ledger: Ledger, tmp_path: Path) -> None:
    ledger.hold(time.time())
    shown = json.loads(run("info", "--json"))
    assert shown == {
        "address": str(tmp_path / "ledger.db"),
        "revision": HEAD,
        "bytes": ledger.size(),
        "jobs": {"queued": 1, "completed": 3},
        "service": str(ledger.process),
    }
    table = run("info")
    assert "jobs\t3 completed, 1 queued\n" in table
    assert f"service\t{ledger.process}\n" in table


@pytest.mark.parametrize(
    ("age", "options", "left"),
    [
        ("8w", [], ["job0", "job1", "job10"]),
        ("30d", [], ["job0", "job1", "job10"]),
        ("12h", [], ["job0"]),
        ("12h", ["--keep", "2"], ["job0", "job1", "job10"]),
    ],
)
def test_forget_removes_jobs_that_ended_before_the_age(
    ledger: Ledger, age: str, options: list[str], left: list[str]
) -> None:
    said = run("forget", "--older-than", age, *options)
    assert [job.id for job in ledger.jobs()] == left
    assert said.startswith(f"removed {4 - len(left)} job")


@pytest.mark.slow
@pytest.mark.parametrize("age", ["30", "-1d", "1y", "", "1.5d"])
def test_an_age_that_is_none_is_refused_in_one_line(farm: Farm, age: str) -> None:
    done = farm("ledger", "forget", "--older-than", age)
    assert done.returncode == Exit.WRONG_REQUEST
    assert f"{age!r} is not a number of hours, days or weeks, such as 12h, 30d or 8w" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["info"], ["forget", "--older-than", "30d"]])
def test_a_ledger_that_is_not_there_is_refused_and_not_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledgre.db"))
    with pytest.raises(
        UserError, match=r"there is no ledger at \S*ledgre.db; the first job creates"
    ):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []
