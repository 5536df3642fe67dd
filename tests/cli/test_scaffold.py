"""A new plugin works unchanged."""

import json
from pathlib import Path

import pytest

from farm.cli.exits import Exit
from farm.host.registry import Registry
from farm.testing import check_effect

from ..distributions import Farm  # noqa: TID252 - shared between rooms


@pytest.mark.slow
def test_a_new_plugin_is_short_and_keeps_the_contract(farm: Farm, tmp_path: Path) -> None:
    done = farm("new-plugin", "soft-glow")
    assert done.stdout.startswith(
        "wrote plugins/soft_glow.py; try: farm --plugins-dir plugins soft-glow "
    )
    assert len((tmp_path / "plugins" / "soft_glow.py").read_text().splitlines()) < 15
    check_effect(Registry.load(tmp_path / "plugins").task("soft-glow"))  # type: ignore[type-abstract, arg-type]
    rows = json.loads(farm("--plugins-dir", "plugins", "plugins", "--json").stdout)
    assert [row["state"] for row in rows if row["name"] == "soft_glow"] == ["loaded"]


@pytest.mark.slow
def test_new_plugin_never_overwrites_a_file(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "glow.py").write_text("precious")
    done = farm("new-plugin", "glow")
    assert done.returncode == Exit.WRONG_REQUEST
    assert done.stderr.startswith("farm: cannot write plugins/glow.py: it already exists")
    assert (tmp_path / "plugins" / "glow.py").read_text() == "precious"
