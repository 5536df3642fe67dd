"""Ranges of frames as people write them: ``1-240``, ``1-240x2``, ``100-``."""

import re
from dataclasses import dataclass
from typing import Self

from farm.errors import BadParameter


@dataclass(frozen=True)
class FrameRange:
    """Frames counted from 1: first to last (None for the film's last), every step-th."""

    first: int = 1
    last: int | None = None
    step: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1-240``, ``1-240x2``, ``100-``, or ``240`` for 1-240. Raises BadParameter."""
        found = re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9})?(?:x(\d{1,9}))?", text)
        if not found or not (found[1] or found[2]):
            raise BadParameter("frames", f"{text!r} is no range; give 1-240, 1-240x2, 100- or 240")
        first, step = int(found[1] or 1), int(found[3] or 1)
        last = int(found[2]) if found[2] else None
        if not first or not step or (last is not None and last < first):
            raise BadParameter(
                "frames", f"{text!r} holds no frame; they count from 1, and the step is 1 or more"
            )
        return cls(first, last, step)

    def within(self, count: int) -> range:
        """Return the indices, from 0, of those among so many frames. Raises BadParameter."""
        chosen = range(self.first - 1, min(count, self.last or count), self.step)
        if not chosen:
            raise BadParameter("frames", f"begins at {self.first}; there are {count} frames")
        return chosen
