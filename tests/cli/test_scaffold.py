"""A new plugin works unchanged."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.cli.exits import Exit
from farm.host.registry import Registry
from farm.testing import check_effect

from ..distributions import Farm  # noqa: TID252 - shared between rooms


@pytest.mark.slow
def test_a_new_plugin_is_short_and_keeps_the_contract(farm: Farm, tmp_path: Path) -> None:
    done = farm("new-plugin", "soft-glow")
    assert done.stdout == (
        "wrote plugins/soft_glow.py, a template that inverts the picture; "
        "try: farm --plugins-dir plugins soft-glow PICTURE -o OUTPUT\n"
    )
    assert len((tmp_path / "plugins" / "soft_glow.py").read_text().splitlines()) < 15
    check_effect(Registry.load(tmp_path / "plugins").task("soft-glow"))  # type: ignore[type-abstract, arg-type]
    rows = json.loads(farm("--plugins-dir", "plugins", "plugins", "--json").stdout)
    assert [row["state"] for row in rows if row["name"] == "soft_glow"] == ["loaded"]


@pytest.mark.slow
def test_a_new_plugin_goes_where_plugins_are_looked_for(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    done = farm("--plugins-dir", "mine", "new-plugin", "glow")
    assert done.stdout.startswith("wrote mine/glow.py, "), done.stderr
    assert (tmp_path / "mine" / "glow.py").is_file()


@pytest.mark.slow
def test_new_plugin_never_overwrites_a_file(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "glow.py").write_text("precious")
    done = farm("new-plugin", "glow")
    assert done.returncode == Exit.WRONG_REQUEST
    assert done.stderr.startswith("farm: cannot write plugins/glow.py: it already exists")
    assert (tmp_path / "plugins" / "glow.py").read_text() == "precious"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["new-plugin glow", "demo"])
@pytest.mark.parametrize("state", ["read-only", "full"])
def test_a_folder_that_cannot_be_written_is_said_in_one_line(
    tmp_path: Path, command: str, state: str
) -> None:
    script = {
        "read-only": "mount -t tmpfs -o ro tmpfs .",
        "full": "mount -t tmpfs -o size=4k tmpfs . && cd . && echo > filler",
    }
    farm = f'cd "{tmp_path}"; exec "{sys.executable}" -m farm {command}'
    inside = f'cd "{tmp_path}" && {script[state]} || exit 77; {farm}'
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", inside],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"FARM_LEDGER": str(tmp_path.with_name("ledger.db"))},
    )
    if done.returncode in {1, 77}:
        pytest.skip("no permission to mount a small disk")
    assert done.returncode == Exit.WRONG_REQUEST
    assert done.stderr.startswith("farm: cannot write ")
    assert done.stderr.endswith("; change to a folder that you can write to\n")
    assert done.stderr.count("\n") == 1
