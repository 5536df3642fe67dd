"""Detects damaged picture data in JPEG files, which Pillow decodes without an error."""

import re
from pathlib import Path
from typing import Final

import pyvips

__all__ = ["check_jpeg"]

_HARMLESS: Final = re.compile(r"extraneous bytes before marker 0x(?!d[0-7])|JFIF revision")
"""Junk between headers. Before a restart marker (d0 to d7), it means that picture data is lost."""


def check_jpeg(source: Path | bytes) -> None:
    """Raise ValueError with the reason if a JPEG's picture data is damaged.

    source: a file, or its content. Decodes it once more, a few lines at a time.
    """
    is_content = isinstance(source, bytes)
    load = pyvips.Image.jpegload_buffer if is_content else pyvips.Image.jpegload
    try:
        load(source if is_content else str(source), fail_on="warning", access="sequential").avg()
    except pyvips.Error as error:
        message = str(error).strip().splitlines()[-1].strip()
        if not _HARMLESS.search(message):
            raise ValueError(message.removeprefix("VipsJpeg: ")) from error
