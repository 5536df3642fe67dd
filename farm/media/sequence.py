"""Names of numbered pictures: ``frame_%05d.png`` stands for frame_00001.png and its like."""

import os
import re
from typing import Final

__all__ = ["is_sequence", "split_pattern"]

_NUMBER: Final = re.compile(r"%(?:0(\d))?d")


def is_sequence(path: str) -> bool:
    """Say whether the file's name has one place for a number, ``%d`` or ``%05d``."""
    return len(_NUMBER.findall(os.path.basename(path))) == 1  # noqa: PTH119 - also for URLs


def split_pattern(name: str) -> tuple[str, int, str]:
    """Return what stands before the number, its least digits, and what stands behind it."""
    found = _NUMBER.search(name)
    assert found
    return name[: found.start()], int(found[1] or 1), name[found.end() :]
