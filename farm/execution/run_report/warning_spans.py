"""From which step to which a run was warned of something."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_MOST: Final = 20
"""Warnings that are kept; the oldest go first."""

_NUMBER: Final = re.compile(r"\d+(\.\d+)?")


@dataclass
class WarningSpan:
    """A warning, as it was last worded. count: steps between first and last that have it."""

    text: str
    first: int
    last: int
    count: int = 1


class WarningSpans:
    """The warnings of a run. Those that differ in their numbers alone are one warning."""

    def __init__(self) -> None:
        self._spans: dict[str, WarningSpan] = {}
        self._current = ""

    def __iter__(self) -> Iterator[WarningSpan]:
        return iter(self._spans.values())

    def take(self, step: int, change: str | None) -> None:
        """Take a step. change: its warning, empty if it has none; None if it is as before."""
        if change is not None:
            self._current = change
        if not self._current:
            return
        key = _NUMBER.sub("0", self._current)
        span = self._spans.pop(key, None) or WarningSpan(self._current, step, step, 0)
        span.text, span.last, span.count = self._current, step, span.count + 1
        self._spans[key] = span
        if len(self._spans) > _MOST:
            del self._spans[next(iter(self._spans))]
