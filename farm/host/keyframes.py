"""Keyframes as text: "10 step=2.5 layer=inception4c" gives values to parameters at a time of a film.

Knows nothing about which parameters there are.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = [
    "Keyframe",
    "is_keyframe",
    "joined",
    "one_each",
    "parse_keyframe",
    "parse_time",
    "time_in",
    "weighted",
]

_TIME: Final = re.compile(r"(f?)(\d{1,9}(?:\.\d{1,20})?)")
_VALUE: Final = re.compile(r"([A-Za-z][\w-]*)=(.+)", re.DOTALL)
_FORM: Final = "give TIME NAME=VALUE ..., such as '10 step=2.5', or 'f240 step=2.5' for frame 240"


@dataclass(frozen=True)
class Keyframe:
    """Values at a time. values: by name, in the order they were given; a name may have several.

    time: in seconds from the start of the film, or the number of a frame, from 1, if is_frame.
    """

    time: float
    is_frame: bool
    values: Mapping[str, Sequence[str]]

    def __str__(self) -> str:
        """Return the time as it is written."""
        return f"{'f' if self.is_frame else ''}{self.time:g}"


def parse_keyframe(text: str) -> Keyframe:
    """Parse a keyframe; a value with spaces is in quotes. Raises ValueError."""
    first, rest = _parted(text)
    time, values = parse_time(first), dict[str, list[str]]()
    try:
        words = shlex.split(rest)
    except ValueError:  # a quote is not closed
        words = []
    if time is None or not words:
        raise ValueError(_FORM)
    for word in words:
        pair = _VALUE.fullmatch(word)
        if pair is None:
            raise ValueError(f"{word!r} is not NAME=VALUE; {_FORM}")
        values.setdefault(pair[1], []).append(pair[2])
    return Keyframe(*time, values)


def parse_time(text: str) -> tuple[float, bool] | None:
    """Return the seconds, or the number of a frame from 1, and whether it is one; None if this is no time.

    Raises ValueError for a frame that no film has.
    """
    time = _TIME.fullmatch(text)
    if time is None:
        return None
    is_frame, number = bool(time[1]), float(time[2])
    if is_frame and (number < 1 or number != int(number)):
        raise ValueError(f"{text!r} is no frame; frames are counted from 1, such as f240")
    return number, is_frame


def is_keyframe(text: str) -> bool:
    """Return whether a text starts as a keyframe does: with a time that stands alone."""
    return _TIME.fullmatch(_parted(text)[0]) is not None


def time_in(text: str) -> tuple[float, bool] | None:
    """Return the time that a keyframe, or a text such as f120=pizza, begins with, as parse_time does."""
    return parse_time(_parted(text)[0].partition("=")[0])


def _parted(text: str) -> tuple[str, str]:
    """Return the first word of a text, and the rest."""
    first, *rest = text.split(maxsplit=1) or [""]
    return first, "".join(rest)


def joined(words: Sequence[str], flag: str) -> Iterator[str]:
    """Yield a command's words, with each keyframe after the flag, or after FLAG=, as one word.

    A keyframe ends before the first word that is not NAME=VALUE.
    """
    left = list(reversed(words))
    while left:
        word = left.pop()
        if word == "--":
            yield from (word, *reversed(left))
            return
        value = word.removeprefix(f"{flag}=")
        if word == flag and left and _TIME.fullmatch(left[-1]):
            yield word
            yield _with_values(left.pop(), left)
        elif value != word and _TIME.fullmatch(value):
            yield f"{flag}={_with_values(value, left)}"
        else:
            yield word


def _with_values(time: str, left: list[str]) -> str:
    """Return a keyframe as one word, with the values that come next in what is left, in reverse order."""
    keyframe = [time]
    while left and _VALUE.fullmatch(left[-1]):
        keyframe.append(left.pop())
    return shlex.join(keyframe)


def one_each(name: str, values: Sequence[str]) -> str:
    """Return how a keyframe gives one parameter several names."""
    pairs = shlex.join(f"{name}={value}" for value in values)
    return f"of several names, each is a NAME=VALUE: {pairs}"


def weighted(text: str) -> tuple[str, float]:
    """Split NAME=WEIGHT; the default weight is 1. Text after the last = is a weight only if it is a number."""
    name, sign, weight = text.rpartition("=")
    try:
        return (name, float(weight)) if sign and name else (text, 1.0)
    except ValueError:
        return text, 1.0
