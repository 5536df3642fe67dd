"""Put distributions on sys.path without pip, and run the farm's command."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

Install = Callable[..., None]
Farm = Callable[..., "subprocess.CompletedProcess[str]"]

HEAD = "from farm import Effect, Field, TaskParams, hookimpl\n"


def effect(name: str) -> str:
    """Return the source of a plugin with one effect of this name."""
    return HEAD + dedent(f'''
        class Fake(Effect):
            """Keeps the picture."""
            name = {name!r}
            def render(self, image, context):
                return image

        @hookimpl
        def farm_tasks():
            return [Fake]
        ''')


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that puts a distribution of one module and one entry point on sys.path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))

    def add(distribution: str, source: str, point: str = "", module: str = "") -> None:
        module = module or "host_" + distribution.replace("-", "_")
        (site / f"{module}.py").write_text(source)
        info = site / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n"
        )
        (info / "entry_points.txt").write_text(
            f"[farm.plugins]\n{point or distribution} = {module}\n"
        )
        monkeypatch.delitem(sys.modules, module, raising=False)

    return add


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    """Return a function that runs the farm's command in tmp_path, with its own ledger."""

    def run(*arguments: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "farm", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=120,
            env=os.environ | {"FARM_LEDGER": str(tmp_path / "ledger.db")} | environment,
        )

    return run
