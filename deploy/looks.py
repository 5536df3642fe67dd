"""Render the README's sheet of ready styles: one column per style, one row per picture.

python deploy/looks.py PICTURE... -o deploy/pictures/fast.jpg
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

from farm_style.names import shipped

SIDE, CELL = 512, 270


def main() -> None:
    """Stylise each picture in each style, and write all results into one sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    sheet = Image.new("RGB", (CELL * (1 + len(shipped())), CELL * len(options.pictures)))
    with tempfile.TemporaryDirectory() as name:
        originals = Path(name, "originals")
        originals.mkdir()
        for row, picture in enumerate(options.pictures):
            fitted = ImageOps.fit(Image.open(picture).convert("RGB"), (SIDE, SIDE))
            fitted.save(originals / f"{row}.png")
        for column, style in enumerate(("originals", *shipped())):
            folder = Path(name, style)
            if column:
                words = ["style", str(originals), "--output", f"{folder}/", "--fast", style]
                subprocess.run([sys.executable, "-m", "farm", *words], check=True)  # noqa: S603 - our own command
            for row in range(len(options.pictures)):
                cell = Image.open(folder / f"{row}.png").resize((CELL, CELL))
                sheet.paste(cell, (column * CELL, row * CELL))
    sheet.save(options.output, quality=85)


if __name__ == "__main__":
    main()
