"""farm prepare: what it prints, and the options it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from click import BadParameter
from PIL import Image

from farm.cli import prepare
from farm.cli.exits import Exit

from ..distributions import Farm  # noqa: TID252 - shared between rooms


def draw(folder: Path, *names: str) -> None:
    for seed, name in enumerate(names):
        pixels = np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)


@pytest.mark.slow
def test_prepare_says_what_it_wrote_and_what_it_left_out(farm: Farm, tmp_path: Path) -> None:
    draw(tmp_path, "flowers/rose/a.png", "flowers/rose/b.png", "flowers/daisy/c.png")
    (tmp_path / "flowers/daisy/bad.jpg").write_bytes(b"no picture")
    (tmp_path / "flowers/rose/again.png").write_bytes(
        (tmp_path / "flowers/rose/a.png").read_bytes()
    )
    done = farm("prepare", "flowers", "-o", "set", "--size", "32x24", "--val", "0.4")
    assert done.returncode == Exit.DONE, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "number\tname\ttrain\tval"
    assert lines[1].startswith("0\tdaisy\t")
    assert lines[3].startswith("mean colour, 0 to 255: RGB 1")
    assert lines[4] == "set: 3 pictures to train on, 1 held out; 32x24 jpeg"
    assert "flowers/daisy/bad.jpg: left out: not a picture, damaged" in done.stderr
    assert "these look the same: " in done.stderr
    again = farm("prepare", "flowers", "-o", "set", "--size", "32x24", "--val", "0.4")
    assert again.stdout == done.stdout
    printed = farm("prepare", "flowers", "-o", "json", "--json")
    assert json.loads(printed.stdout) == json.loads((tmp_path / "json/manifest.json").read_text())


@pytest.mark.slow
def test_prepare_refuses_in_one_line(farm: Farm, tmp_path: Path) -> None:
    draw(tmp_path, "in/a.png")
    for words, reason in {
        ("in", "-o", "in/set"): "farm: cannot write ",
        ("nowhere", "-o", "set"): "farm: nowhere: no such file or directory",
        ("in", "-o", "set", "--val", "1"): "farm: Invalid value for '--val'",
    }.items():
        done = farm("prepare", *words)
        assert done.returncode == Exit.WRONG_REQUEST
        assert done.stderr.startswith(reason)
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sides"), [("256", (256, 256)), ("64x32", (32, 64)), ("64X32", (32, 64))]
)
def test_sizes(text: str, sides: tuple[int, int]) -> None:
    assert prepare._sides(None, None, text) == sides


@pytest.mark.parametrize("text", ["0", "64x", "x64", "1x2x3", "9000", "-4", "many", "6.5"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(BadParameter, match="give WIDTHxHEIGHT or one number, in pixels from 1 to"):
        prepare._sides(None, None, text)
