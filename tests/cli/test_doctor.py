"""The doctor finds what is wrong, says what to do, and never falls ill itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.cli import doctor
from farm.cli.doctor import Finding
from farm.cli.exits import Exit
from farm.host.registry import Registry

from ..distributions import Farm  # noqa: TID252 - shared between rooms


@pytest.mark.slow
def test_doctor_names_a_failed_plugin_and_ends_with_1(farm: Farm, tmp_path: Path) -> None:
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
def test_doctor_names_a_ledger_that_cannot_be_written(farm: Farm) -> None:
    done = farm("doctor", "--json", FARM_LEDGER="/proc/nowhere/ledger.db")
    rows = [row for row in json.loads(done.stdout) if row["check"] == "ledger"]
    assert [row["state"] for row in rows] == ["problem"]
    assert "FARM_LEDGER" in rows[0]["advice"]


def test_a_check_that_raises_is_a_finding() -> None:
    def _teapot(_: Registry) -> Iterator[Finding]:
        yield Finding("spout", "ok", "short")
        raise RuntimeError("and\nstout")

    found = list(doctor._guarded(_teapot, Registry()))
    assert [f.state for f in found] == ["ok", "problem"]
    assert found[1].check == "teapot"
    assert found[1].found == "RuntimeError: and stout"


@pytest.mark.parametrize(("free", "state"), [(9, "warning"), (10, "ok")])
def test_too_little_is_a_warning_with_advice(free: int, state: str) -> None:
    found = doctor._enough("disk", free, 10, "9 GiB", "make room")
    assert found.state == state
    assert bool(found.advice) == (state == "warning")
