"""Find the classes of a network that a name or an everyday word stands for."""

import re
from collections.abc import Sequence
from typing import Final

_SHORTEST: Final = 3
"""Letters of a word that may stand in the middle of another."""


def find_classes(name: str, classes: Sequence[str]) -> list[int]:
    """Return the indices of the classes that a name stands for, empty if there are none.

    classes: their names; one may have several, as in "tabby, tabby cat". A number or a whole name
    stands for one class. Any other word stands for every class that has it in its name, or else
    for every class with a word that starts with it, or else, from three letters on, that contains it.
    """
    if name.isdecimal() and int(name) < len(classes):
        return [int(name)]
    word = re.escape(name.strip())
    if not word:
        return []
    whole = _holding(rf"(^|, ){word}(,|$)", classes)[:1]
    found = whole or _holding(rf"\b{word}\b", classes) or _holding(rf"\b{word}", classes)
    return found if found or len(name.strip()) < _SHORTEST else _holding(word, classes)


def everyday_words(classes: Sequence[str]) -> list[str]:
    """Return the words of at least three letters in the names of classes, then whole names of several."""
    names = [name for each in classes for name in each.split(", ")]
    words = [word for name in names for word in re.findall(r"\w{3,}", name)]
    return [
        *dict.fromkeys(word.casefold() for word in words),
        *dict.fromkeys(n for n in names if " " in n),
    ]


def _holding(pattern: str, classes: Sequence[str]) -> list[int]:
    search = re.compile(pattern, re.IGNORECASE).search
    return [index for index, known in enumerate(classes) if search(known)]
