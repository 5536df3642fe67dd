"""The files that run the farm as a service name what there is: options, folders, files and volumes."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from farm.cli.serve import serve
from farm.settings import Settings

from ..prometheus import DEPLOY  # noqa: TID252 - shared

UNIT = DEPLOY / "farm.service"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text())
VARIABLES = {f"FARM_{name.upper()}" for name in Settings.model_fields}


def check_command(words: list[str]) -> None:
    """Raise UsageError if `farm serve` does not take these words."""
    assert [Path(words[0]).name, words[1]] == ["farm", "serve"]
    serve.make_context("serve", words[2:], resilient_parsing=False)


def unit_values(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "farm.service"
    program = shlex.split(unit_values("ExecStart")[0])[0]
    copy.write_text(UNIT.read_text().replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_runs_a_command_that_the_farm_takes() -> None:
    check_command(shlex.split(unit_values("ExecStart")[0]))
    assert {value.split("=")[0] for value in unit_values("Environment")} <= VARIABLES


def test_the_unit_may_write_its_ledger_its_copies_and_its_pictures() -> None:
    words = shlex.split(unit_values("ExecStart")[0])
    roots = [word.partition("=")[2] for word in words if "=" in word]
    settings = dict(value.split("=", 1) for value in unit_values("Environment"))
    assert roots == unit_values("ReadWritePaths")
    assert settings["FARM_LEDGER"].startswith(f"/var/lib/{unit_values('StateDirectory')[0]}/")
    assert settings["FARM_CACHE"] == f"/var/cache/{unit_values('CacheDirectory')[0]}"


def test_compose_runs_a_command_that_the_farm_takes() -> None:
    check_command(COMPOSE["services"]["farm"]["command"])


def test_compose_mounts_files_that_exist_and_volumes_that_it_declares() -> None:
    mounts = [m.split(":")[0] for s in COMPOSE["services"].values() for m in s["volumes"]]
    own = {Path(mount).name for mount in mounts if mount.startswith("./")}
    made_by_the_user = {"pictures", "prometheus.token"}
    assert own - made_by_the_user == {name for name in own if (DEPLOY / name).is_file()}
    assert {mount for mount in mounts if not mount.startswith("./")} == set(COMPOSE["volumes"])


def test_only_the_proxy_is_reached_from_outside() -> None:
    farm, *others = COMPOSE["services"].values()
    assert farm["ports"] == ["443:443", "80:80"]
    assert "--host" not in farm["command"]
    assert all(service["network_mode"] == "service:farm" for service in others)


def test_the_image_copies_what_there_is_and_asks_for_extras_that_there_are() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    root = DEPLOY.parent
    copied = [
        word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()
    ]
    assert {"farm", "plugins", "cluster", "pyproject.toml"} <= set(copied)
    assert all((root / name).exists() for name in copied)
    assert "[project.optional-dependencies]\npostgres =" in (root / "pyproject.toml").read_text()
    assert ".[postgres]" in text


def test_the_ports_are_the_one_that_a_farm_listens_on() -> None:
    (port,) = (p.default for p in serve.params if isinstance(p, click.Option) and p.name == "port")
    for name in ("prometheus.yml", "Caddyfile"):
        assert f"127.0.0.1:{port}" in (DEPLOY / name).read_text()
