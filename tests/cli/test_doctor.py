"""farm doctor finds problems, says how to fix them, and survives checks that raise."""

import json
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from farm.cli import doctor
from farm.cli.doctor import Finding
from farm.cli.exits import Exit
from farm.host.registry import Registry

from ..distributions import Farm  # noqa: TID252 - shared between rooms


@pytest.mark.slow
def test_doctor_reports_a_failed_plugin_and_exits_with_1(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "sick.py").write_text("raise RuntimeError('no licence')")
    done = farm("--plugins-dir", "plugins", "doctor", "--json")
    findings = [Finding(**row) for row in json.loads(done.stdout)]
    (sick,) = (f for f in findings if "sick" in f.found)
    assert sick.state == "problem"
    assert "RuntimeError: no licence" in sick.found
    assert "sick.py" in sick.advice
    assert done.returncode == Exit.FAILED
    assert {"python", "cores", "memory", "disk", "devices", "ledger"} <= {f.check for f in findings}
    assert all(f.advice for f in findings if f.state != "ok")


@pytest.mark.slow
def test_doctor_reports_a_ledger_that_cannot_be_written(farm: Farm) -> None:
    done = farm("doctor", "--json", FARM_LEDGER="/proc/nowhere/ledger.db")
    rows = [row for row in json.loads(done.stdout) if row["check"] == "ledger"]
    assert [row["state"] for row in rows] == ["problem"]
    assert "FARM_LEDGER" in rows[0]["advice"]


def test_doctor_says_that_sqlite_is_too_old_for_a_ledger_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.30.1")
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 30, 1))
    (finding,) = doctor._ledger(Registry())
    assert finding.state == "problem"
    assert "needs SQLite 3.31 or newer, and this Python has 3.30.1" in finding.found
    assert "PostgreSQL" in finding.advice


def test_a_check_that_raises_is_a_finding() -> None:
    def _teapot(_: Registry) -> Iterator[Finding]:
        yield Finding("spout", "ok", "short")
        raise RuntimeError("and\nstout")

    ok, problem = doctor._guarded(_teapot, Registry())
    assert (ok.state, problem.state) == ("ok", "problem")
    assert problem.check == "teapot"
    assert problem.found == "RuntimeError: and stout"


@pytest.mark.parametrize(("free", "state"), [(9, "warning"), (10, "ok")])
def test_too_little_is_a_warning_with_advice(free: int, state: str) -> None:
    finding = doctor._check_amount("disk", free, 10, "9 GiB", "free some space")
    assert finding.state == state
    assert bool(finding.advice) == (state == "warning")


@pytest.mark.parametrize(
    ("capabilities", "found"),
    [
        ({"amx_bf16": True, "avx512_bf16": True}, "computed by AMX; "),
        ({"amx_bf16": False, "avx512_bf16": True}, "computed by AVX-512; "),
        ({"avx2": True}, "this CPU has no unit for it; "),
    ],
)
def test_doctor_says_whether_bfloat16_pays_on_this_cpu(
    capabilities: dict[str, object], found: str
) -> None:
    assert doctor._bfloat16(capabilities).found.startswith(found)


CLICK = version("click")
PACKAGES = {
    "click>=8": Finding("click", "ok", CLICK),
    "click>=999": Finding(
        "click",
        "problem",
        f"{CLICK} is installed; the farm needs >=999",
        "pip install 'click>=999'",
    ),
    "no-such-package[b,a]>=1,<3": Finding(
        "no-such-package",
        "problem",
        "not installed",
        "pip install 'no-such-package[a,b]<3,>=1'",
    ),
    "no-such-package; python_version >= '3'": Finding(
        "no-such-package", "problem", "not installed", "pip install 'no-such-package'"
    ),
}


@pytest.mark.parametrize("line", PACKAGES)
def test_a_missing_or_unsuitable_package_is_a_problem(line: str) -> None:
    assert list(doctor._check_packages([line])) == [PACKAGES[line]]


def test_requirements_with_markers_that_do_not_apply_are_skipped() -> None:
    lines = ["no-such-package; python_version < '3'", "no-such-package; extra == 'gpu'"]
    assert list(doctor._check_packages(lines)) == []
