"""Render the README's comparison: a pan over a picture, dreamt frame by frame and as a coherent film.

python deploy/flicker.py PICTURE -o deploy/pictures/flicker.gif [--frames 24] [--layer inception4c]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 200, 150


def pan(picture: Path, folder: Path, frames: int) -> None:
    """Draw the frames of a camera that pans over the picture and zooms in."""
    folder.mkdir()
    image = Image.open(picture).convert("RGB")
    image = image.resize((2 * WIDTH, round(2 * WIDTH * image.height / image.width)))
    for number in range(frames):
        progress = number / (frames - 1)
        width = 1.6 * WIDTH * (1 - 0.15 * progress)
        left, top = 10 + 60 * progress, 10 + 40 * progress
        box = (left, top, left + width, top + width * HEIGHT / WIDTH)
        frame = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)
        frame.save(folder / f"{number + 1:04d}.png")


def farm(*words: object) -> None:
    """Run the farm command."""
    subprocess.run([sys.executable, "-m", "farm", *map(str, words)], check=True)  # noqa: S603 - our own command


def main() -> None:
    """Dream the pan frame by frame and as a coherent film, and write both side by side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--layer", default="inception4c")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pan(options.picture, folder / "pan", options.frames)
        for coherence in ("none", "flow"):
            (folder / coherence).mkdir()
            words = ["--layer", options.layer, "--coherence", coherence]
            farm("dream", folder / "pan/%04d.png", "-o", folder / coherence / "%04d.png", *words)
        (folder / "both").mkdir()
        for left in sorted((folder / "none").glob("*.png")):
            pair = [np.asarray(Image.open(f)) for f in (left, folder / "flow" / left.name)]
            Image.fromarray(np.hstack(pair)).save(folder / "both" / left.name)
        examples = Path(__file__).parents[1] / "plugins" / "examples"
        words = ["--amount", 0, "--rate", 12]
        farm(
            "--plugins-dir",
            examples,
            "invert",
            folder / "both/%04d.png",
            "-o",
            options.output,
            *words,
        )


if __name__ == "__main__":
    main()
