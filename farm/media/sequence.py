"""Names of numbered pictures: ``frame_%05d.png`` stands for frame_00001.png, frame_00002.png, ..."""

import os
import re
from typing import Final

__all__ = ["is_sequence", "split_pattern"]

_NUMBER: Final = re.compile(r"%(?:0(\d))?d")


def is_sequence(path: str) -> bool:
    """Return whether the file name has exactly one number field, such as ``%d`` or ``%05d``."""
    return len(_NUMBER.findall(os.path.basename(path))) == 1  # noqa: PTH119 - also for URLs


def split_pattern(name: str) -> tuple[str, int, str]:
    """Return the text before the number field, its minimum of digits, and the text after it."""
    field = _NUMBER.search(name)
    assert field
    return name[: field.start()], int(field[1] or 1), name[field.end() :]
