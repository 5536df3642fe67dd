"""Finding JPEG files whose picture data is damaged, which Pillow shows without a word."""

import re
from pathlib import Path
from typing import Final

import pyvips

__all__ = ["check_jpeg"]

_HARMLESS: Final = re.compile(r"extraneous bytes before marker 0x(?!d[0-7])|JFIF revision")
"""Junk between headers. Before a restart marker (d0 to d7) it is a lost part of the picture."""


def check_jpeg(path: Path) -> None:
    """Raise ValueError, saying what is wrong, where a JPEG's picture data is damaged.

    Decodes it once more, a few lines at a time.
    """
    try:
        pyvips.Image.jpegload(str(path), fail_on="warning", access="sequential").avg()
    except pyvips.Error as error:
        found = str(error).strip().splitlines()[-1].strip()
        if not _HARMLESS.search(found):
            raise ValueError(found.removeprefix("VipsJpeg: ")) from error
