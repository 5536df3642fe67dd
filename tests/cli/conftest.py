"""Fixtures for distributions on sys.path, for the farm's command, and for runs that draw."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from farm.cli import _run
from farm.cli.exits import EXPECTED, exit_code, one_line

from ..distributions import (  # noqa: TID252 - shared between rooms
    farm,
    install,
)

__all__ = ["farm", "install"]

DRAWING = Path(__file__).parent / "drawing"
"""A plugins folder of runs that draw pictures, and of one that draws none."""


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    results: str
    errors: str


class Command:
    """Runs a command in this process, which is fast: ``command("sample", "run", "-o", "a.png")``.

    blots: the plugin of the runs that draw, as a module.
    """

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.blots = _module(DRAWING / "blots.py")

    def __call__(self, *words: object) -> Done:
        try:
            code: Any = _run(["--plugins-dir", str(DRAWING), *map(str, words)])
            error = ""
        except EXPECTED as expected:
            code, error = exit_code(expected), f"{one_line(expected)}\n"
        printed = self._capture.readouterr()
        return Done(int(code or 0), printed.out, printed.err + error)


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location("blots_of_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run commands in tmp_path, with their own ledger."""
    threads = torch.get_num_threads()
    monkeypatch.setattr("farm.execution.contexts.available_cores", lambda: 1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    yield Command(capsys)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with the checkpoints of the last three. Copy it before you use it."""
    folder = tmp_path_factory.mktemp("trained")
    words = ["--plugins-dir", DRAWING, "blots", DRAWING / "blots.py", "-o", folder / "run"]
    subprocess.run(
        [sys.executable, "-m", "farm", *map(str, words)],
        check=True,
        env=os.environ | {"FARM_LEDGER": str(folder / "ledger.db")},
    )
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of four steps in tmp_path/run."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def photo(tmp_path: Path) -> str:
    coarse = np.random.default_rng(4).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC)
    picture.save(tmp_path / "photo.png")
    return "photo.png"
