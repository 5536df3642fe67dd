"""Parses ranges of frames, such as ``1-240``, ``1-240x2`` or ``100-``."""

import re
from dataclasses import dataclass
from typing import Self

from farm.errors import BadParameter


@dataclass(frozen=True)
class FrameRange:
    """Frames first to last, counted from 1, every step-th. last: None for the end of the film."""

    first: int = 1
    last: int | None = None
    step: int = 1

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``1-240``, ``1-240x2``, ``100-``, or ``240`` for 1-240. Raises BadParameter."""
        match = re.fullmatch(r"(?:(\d{1,9})-)?(\d{1,9})?(?:x(\d{1,9}))?", text)
        if not match or not (match[1] or match[2]):
            reason = f"{text!r} is not a range; use 1-240, 1-240x2, 100- or 240"
            raise BadParameter("frames", reason)
        first, step = int(match[1] or 1), int(match[3] or 1)
        last = int(match[2]) if match[2] else None
        if not first or not step or (last is not None and last < first):
            reason = f"{text!r} contains no frames; frames count from 1, and the step is 1 or more"
            raise BadParameter("frames", reason)
        return cls(first, last, step)

    def __contains__(self, number: int) -> bool:
        """Return whether a frame, counted from 1, is among them."""
        is_inside = number >= self.first and (self.last is None or number <= self.last)
        return is_inside and (number - self.first) % self.step == 0

    def within(self, count: int) -> range:
        """Return the indices, from 0, of the frames in a film of count frames. Raises BadParameter."""
        chosen = range(self.first - 1, min(count, self.last or count), self.step)
        if not chosen:
            raise BadParameter(
                "frames", f"starts at {self.first}, but there are only {count} frames"
            )
        return chosen

    def beyond(self, count: int) -> range:
        """Return the numbers, from 1, of the frames that a film of count frames does not have."""
        if self.last is None:
            return range(0)
        return range(self.first, self.last + 1, self.step)[len(self.within(count)) :]


def chosen_frames(text: str | None, count: int) -> range:
    """Return the indices of the frames to render: those of a range, or all. Raises BadParameter."""
    return FrameRange.parse(text).within(count) if text else range(count)
