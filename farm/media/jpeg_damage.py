"""Detects damaged picture data in JPEG files, which Pillow decodes without an error."""

import re
from pathlib import Path
from typing import Final

import pyvips

__all__ = ["check_jpeg"]

_HARMLESS: Final = re.compile(r"extraneous bytes before marker 0x(?!d[0-7])|JFIF revision")
"""Junk between headers. Before a restart marker (d0 to d7), it means that picture data is lost."""


def check_jpeg(path: Path) -> None:
    """Raise ValueError with the reason if a JPEG's picture data is damaged.

    Decodes the file once more, a few lines at a time.
    """
    try:
        pyvips.Image.jpegload(str(path), fail_on="warning", access="sequential").avg()
    except pyvips.Error as error:
        message = str(error).strip().splitlines()[-1].strip()
        if not _HARMLESS.search(message):
            raise ValueError(message.removeprefix("VipsJpeg: ")) from error
