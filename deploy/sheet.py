"""Render the README's contact sheet: one row per picture, one column per layer.

python deploy/sheet.py PICTURE... -o deploy/pictures/sheet.jpg [--layers inception3b ...]
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

LAYERS = ("inception3b", "inception4c", "inception4e", "inception5b")
CELL = (384, 288)


def main() -> None:
    """Dream each picture at each layer, and write all results into one sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--layers", nargs="+", default=LAYERS)
    options = parser.parse_args()
    width, height = CELL
    sheet = Image.new("RGB", (width * (1 + len(options.layers)), height * len(options.pictures)))
    with tempfile.TemporaryDirectory() as name:
        originals = Path(name, "0")
        originals.mkdir()
        for row, picture in enumerate(options.pictures):
            fitted = ImageOps.fit(Image.open(picture).convert("RGB"), CELL)
            fitted.save(originals / f"{row}.png")
        for column, layer in enumerate(("", *options.layers)):
            folder = Path(name, str(column))
            if layer:
                words = ["dream", str(originals), "--output", f"{folder}/", "--layer", layer]
                subprocess.run([sys.executable, "-m", "farm", *words], check=True)  # noqa: S603 - our own command
            for row in range(len(options.pictures)):
                sheet.paste(Image.open(folder / f"{row}.png"), (column * width, row * height))
    sheet.save(options.output, quality=88)


if __name__ == "__main__":
    main()
