"""Everything in docs/plugins.md works as it stands: plugins, their tests, commands, and the package."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from shutil import copy

import numpy as np
import pytest
import torch
from PIL import Image

from farm import Context, Effect
from farm.cli import group
from farm.engine import catalogue
from farm.host.registry import Registry
from farm.host.schedule import Schedule
from farm.host.vetting import validate_params
from farm.testing import FakeContext, check_effect

from .commands import run_farm

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "plugins.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n# (\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^ {4}farm (.+)$", GUIDE, re.MULTILINE)
MEMBERS = [name for name in vars(Context) if not name.startswith("_")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file of the guide."""
    folder = tmp_path_factory.mktemp("guide")
    for _, name, text in BLOCKS:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def registry(folder: Path) -> Registry:
    return Registry.load(folder / "plugins")


def test_every_block_of_the_guide_is_a_file_that_is_tried() -> None:
    assert len(BLOCKS) == len(re.findall(r"^```\w", GUIDE, re.MULTILINE)) == 7


@pytest.mark.parametrize("name", MEMBERS)
def test_the_guide_has_everything_that_a_context_offers(name: str) -> None:
    assert f"`context.{name}" in GUIDE


@pytest.mark.slow
@pytest.mark.parametrize("task", ["vignette", "contrast", "trails", "exposure"])
def test_an_effect_of_the_guide_keeps_the_contract(registry: Registry, task: str) -> None:
    effect = registry.task(task)
    assert issubclass(effect, Effect)
    check_effect(effect)


def test_the_vignette_of_the_guide_darkens_where_its_mask_is_white(registry: Registry) -> None:
    effect = registry.task("vignette")
    assert issubclass(effect, Effect)
    vignette = effect(validate_params(effect, {"mask": "mask.png", "strength": 1}))
    mask = torch.zeros(1, 3, 4, 6)
    mask[..., 3:] = 1
    context = FakeContext(pictures={vignette.params.mask: mask})
    dark = vignette.render(torch.ones(1, 3, 8, 12), context)
    assert torch.equal(dark[0, 0, 0], torch.tensor([1.0] * 6 + [0.0] * 6))


def test_the_network_of_the_guide_can_be_cut_at_its_layers(registry: Registry) -> None:
    (row, *_) = catalogue.layers(registry.network("small"))
    assert (row["layer"], row["channels"]) == ("0", 8)


@pytest.mark.slow
def test_the_trails_of_the_guide_fade_over_the_frames_of_a_film(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        picture = Image.new("RGB", (40, 32))
        picture.paste("white", (10 * number, 0, 10 * number + 10, 32))
        picture.save(tmp_path / "in" / f"{number}.png")
    words = ("trails", "in/%d.png", "-o", "out_%d.png", "--fade", "0.5", "--threads", "1")
    run_farm(tmp_path, "--plugins-dir", str(folder / "plugins"), *words)
    last = np.asarray(Image.open(tmp_path / "out_3.png"))[16, 5::10, 0] / 255
    assert last == pytest.approx([0.125, 0.25, 0.5, 1], abs=0.01)


def test_the_exposure_of_the_guide_changes_over_the_time_of_a_film(registry: Registry) -> None:
    effect = registry.task("exposure")
    assert issubclass(effect, Effect)
    schedule = Schedule.of(validate_params(effect, {"at": ["0 stops=-8", "4 stops=0"]}))
    assert schedule
    stops = [schedule.at(seconds, 0).model_dump()["stops"] for seconds in (0, 1, 4, 9)]
    assert stops == [-8, -6, 0, 0]


@pytest.mark.slow
def test_the_tests_of_the_guide_pass(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(folder / "plugins"))
    tests = runpy.run_path(str(folder / "test_vignette.py"))
    names = [name for name in tests if name.startswith("test_")]
    assert len(names) == 3
    for name in names:
        tests[name]()


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_guide_parses(
    line: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    words = shlex.split(line)
    with group.make_context("farm", list(words)) as context:
        name, *rest = words[2:]
        command = group.get_command(context, name)
        assert command
        command.make_context(name, rest, parent=context)


@pytest.mark.slow
def test_the_package_of_the_guide_installs_without_a_network_and_is_listed(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "farm_vignette").mkdir()
    copy(folder / "plugins" / "vignette.py", folder / "farm_vignette" / "__init__.py")
    target = tmp_path / "site"
    words = ["install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", *words, "--target", str(target), str(folder)]
    subprocess.run(pip, check=True, timeout=300)
    listed = subprocess.run(
        [sys.executable, "-m", "farm", "plugins", "--json"],
        env=os.environ | {"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    (row,) = (row for row in json.loads(listed.stdout) if row["name"] == "vignette")
    assert (row["source"], row["version"], row["state"]) == ("farm-vignette", "1.0", "loaded")
    assert row["tasks"] == ["vignette"]
