"""Names of numbered pictures: ``frame_%05d.png`` stands for frame_00001.png, frame_00002.png, ...

One field in the file's own name stands for the number: ``%d``, ``%05d`` (at least five digits),
``%5d`` (the same, as FFmpeg reads it) or ``#####``. All other text, such as a lone ``%``, and the
folders are taken literally.
"""

import os
import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Self

from farm.media.film.suffixes import FILM_SUFFIXES

__all__ = ["NumberedPath", "is_sequence"]

_PERCENT: Final = re.compile(r"%0?(?:([1-9][0-9]?)d|d(?![^\W\d_]))")
"""A field without a width is not followed by a letter: 50%done.png is one picture."""

_HASHES: Final = re.compile(r"##+")


@dataclass(frozen=True)
class NumberedPath:
    """Paths that differ by one number. places: least characters of the number, its sign included.

    before, after: the rest of the path.
    """

    before: str
    places: int
    after: str

    @classmethod
    def parse(cls, path: str) -> Self | None:
        """Return the numbered path, or None if the file's name has no field or several."""
        name = os.path.basename(path)  # noqa: PTH119 - also for URLs
        field = _field(name)
        if field is None:
            return None
        width = len(field[0]) if field[0].startswith("#") else int(field[1] or 1)
        begin = len(path) - len(name) + field.start()
        return cls(path[:begin], width, name[field.end() :])

    def path(self, number: int) -> str:
        """Return the path with this number."""
        return f"{self.before}{number:0{self.places}d}{self.after}"

    def number_of(self, path: str) -> int | None:
        """Return the number in a path, or None if the path does not fit."""
        digits = rf"[0-9]{{{self.places},}}|-[0-9]{{{max(1, self.places - 1)},}}"
        match = re.fullmatch(f"{re.escape(self.before)}({digits}){re.escape(self.after)}", path)
        return int(match[1]) if match else None


def is_sequence(path: str) -> bool:
    """Return whether the file's name has one field for a number."""
    return NumberedPath.parse(path) is not None


def _field(name: str) -> re.Match[str] | None:
    fields = list(_PERCENT.finditer(name))
    if not fields and PurePath(name).suffix.lower() not in FILM_SUFFIXES - {".gif"}:
        fields = list(_HASHES.finditer(name))
    return fields[0] if len(fields) == 1 else None
