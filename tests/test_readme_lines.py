"""Every line of the README that renders on one machine does so, in its order, at a small size."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .clips import Clip

pytestmark = [pytest.mark.slow, pytest.mark.proof, pytest.mark.xdist_group("readme")]

README = (Path(__file__).parents[1] / "README.md").read_text()
RENDERING = ("dream", "style", "zoom", "compare", "flicker")
ELSEWHERE = ("://", "--workers", "--address", "--network", "--fast run/", "photos/a.jpg")
"""What makes a line need other machines, downloads or a training run."""

LINES = [
    line
    for line in re.findall(r"^ {4}farm (.+?)(?: +#.*)?$", README, re.MULTILINE)
    if line.startswith(RENDERING) and not any(text in line for text in ELSEWHERE)
]
QUICK = {
    "dream": "--overwrite --size long=48 --iterations 1 --octaves 1 --threads 1",
    "style": "--overwrite --size long=48 --iterations 1 --scales 1 --threads 1",
    "zoom": "--overwrite --size long=48 --iterations 1 --octaves 1 --threads 1 --frames 4",
    "compare": "--size long=48 --iterations 1 --octaves 1 --threads 1",
    "flicker": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the lines name as an input."""
    folder = tmp_path_factory.mktemp("readme")
    for name in ("photos", "clips"):
        (folder / name).mkdir()
    pictures = ("photo.jpg", "other.jpg", "flowers.jpg", "paint.jpg", "a.jpg", "b.jpg", "huge.tif")
    for seed, name in enumerate((*pictures, "photos/a.jpg", "photos/b.jpg")):
        coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC).save(folder / name)
    for name in ("sky-only.png", "sky.png", "ground.png"):
        Image.new("L", (96, 64), "white").save(folder / name)
    for name in ("clip.mp4", "frames.mp4"):
        Clip(times=range(30)).write(folder / name)
    return folder


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_the_readme_renders(line: str, folder: Path) -> None:
    words = shlex.split(line)
    if "--live" in words:
        words[words.index("--live") + 1] = "0"
    quick = shlex.split(QUICK[words[0]])
    done = subprocess.run(
        [sys.executable, "-m", "farm", *words, *quick],
        cwd=folder,
        env=os.environ | {"FARM_LEDGER": str(folder / "ledger.db")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
