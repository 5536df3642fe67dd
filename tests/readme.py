"""The lines of the README that call the farm, by what they need, and how a test runs one at a small size."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from .clips import Clip

README: Final = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES: Final = Path(__file__).parents[1] / "plugins" / "examples"
LINES: Final = re.findall(r"^ {4}farm (.+?)(?: +#.*)?$", README, re.MULTILINE)

_TRAINING: Final = ("prepare", "train-style", "dcgan", "finetune", "sample", "evaluate", "denoise")
_SERVICE: Final = ("serve", "submit", "jobs", "job", "workers", "token")

QUICK: Final = {
    "dream": "--overwrite --size long=48 --iterations 1 --octaves 1 --threads 1",
    "style": "--overwrite --size long=48 --iterations 1 --scales 1 --threads 1",
    "zoom": "--overwrite --size long=48 --iterations 1 --octaves 1 --threads 1 --frames 4",
    "compare": "--size long=48 --iterations 1 --octaves 1 --threads 1",
    "invert": "--overwrite --threads 1",
    "train-style": "--steps 2 --every 1 --batch 2 --side 64 --style-side 64 --threads 1",
    "dcgan": "--steps 2 --every 1 --batch 2 --width 0.1 --threads 1",
    "finetune": "--steps 2 --every 1 --batch 4 --size 72 --crop 64 --threads 1",
    "denoise": "--steps 2 --threads 1",
    "sample": "--count 8",
    "evaluate": "--count 4",
    "submit": "--size long=48 --iterations 1 --octaves 1 --wait",
}
"""What makes a line quick. A flag that is given again counts."""


def need_of(line: str) -> str:
    """Return what a line needs: rendering, training, pool, service, storage or download."""
    word = command_of(shlex.split(line))
    if "s3://" in line:
        return "storage"
    if re.search(r"--network (?!run/)", line):
        return "download"
    if word in _SERVICE or "--server" in line:
        return "service"
    if "--workers" in line or "--address" in line:
        return "pool"
    is_of_run = "--fast run/" in line or "--network run/" in line
    return "training" if word in _TRAINING or is_of_run else "rendering"


def lines_that_need(need: str) -> list[str]:
    return [line for line in LINES if need_of(line) == need]


def command_of(words: list[str]) -> str:
    """Return the command among the words of a line."""
    return words[2] if words[0] == "--plugins-dir" else words[0]


def quick_words(line: str) -> list[str]:
    """Return the words of a line, and those that make it quick."""
    words = shlex.split(line)
    return [*words, *shlex.split(QUICK.get(command_of(words), ""))]


def farm(
    folder: Path, *words: str, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run the farm's command in a folder, with a ledger of its own. No network is asked for files."""
    own = {
        "FARM_LEDGER": str(folder / "ledger.db"),
        "TORCH_HOME": str(folder / "hub"),
        "https_proxy": "http://127.0.0.1:9",
    }
    return subprocess.run(
        [sys.executable, "-m", "farm", *words],
        cwd=folder,
        env=os.environ | own | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def forget_output(folder: Path, words: list[str]) -> None:
    """Remove what an earlier line wrote to the output of this one, unless it goes on with that."""
    if "-o" not in words or "--resume" in words:
        return
    output = folder / words[words.index("-o") + 1]
    if output.is_dir():
        shutil.rmtree(output)
    else:
        output.unlink(missing_ok=True)


def draw(path: Path, seed: int) -> None:
    """Draw a picture of soft blobs, 96x64 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((96, 64), Image.Resampling.BICUBIC).save(path)


def fill(folder: Path) -> None:
    """Write every file that the lines name as an input."""
    pictures = "photo.jpg other.jpg flowers.jpg paint.jpg glass.png a.jpg b.jpg huge.tif mine.jpg holiday.jpg"
    folders = {"photos": 3, "cats": 6, "faces": 6, "flowers/daisy": 4, "flowers/rose": 4}
    named = [f"{name}/{number}.jpg" for name, count in folders.items() for number in range(count)]
    more = ("photos/a.jpg", "photos/clouds.jpg", "demo/sky.png")
    for seed, name in enumerate((*pictures.split(), *named, *more)):
        draw(folder / name, seed)
    for name in ("sky-only.png", "sky.png", "ground.png"):
        Image.new("L", (96, 64), "white").save(folder / name)
    for name in ("clip.mp4", "frames.mp4", "clips/clip.mp4"):
        (folder / name).parent.mkdir(exist_ok=True)
        Clip(times=range(30)).write(folder / name)
    for name in ("cats", "flowers"):
        shutil.make_archive(str(folder / name), "zip", folder / name)
    for name in ("train", "val"):
        (folder / f"{name}.txt").write_text("cats/0.jpg 0\ncats/1.jpg 1\n")
    shutil.copytree(EXAMPLES, folder / "plugins")
