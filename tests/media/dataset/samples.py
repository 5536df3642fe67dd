"""Small pictures, folders and zips for the tests of data sets."""

from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
from PIL import Image


def levels(seed: int, height: int = 12, width: int = 16) -> np.ndarray:
    """Return smooth pixels that differ by seed: uint8 [height, width, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def png(seed: int, height: int = 12, width: int = 16) -> bytes:
    file = BytesIO()
    Image.fromarray(levels(seed, height, width)).save(file, "PNG")
    return file.getvalue()


def jpeg(seed: int, height: int = 48, width: int = 64) -> bytes:
    file = BytesIO()
    Image.fromarray(levels(seed, height, width)).save(file, "JPEG")
    return file.getvalue()


def fill(folder: Path, contents: dict[str, bytes]) -> str:
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return str(folder)


def zipped(path: Path, contents: dict[str, bytes], method: int = ZIP_DEFLATED) -> str:
    with ZipFile(path, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return str(path)
