"""Find the classes of a network that a name or an everyday word stands for."""

import re
from collections.abc import Sequence


def find_classes(name: str, classes: Sequence[str]) -> list[int]:
    """Return the indices of the classes that a name stands for, empty if there are none.

    classes: their names; one may have several, as in "tabby, tabby cat". A number or a whole name
    stands for one class. Any other word stands for every class that has it in its name, or else
    for every class with a word that starts with it.
    """
    if name.isdecimal() and int(name) < len(classes):
        return [int(name)]
    word = re.escape(name.strip())
    if not word:
        return []
    whole = _holding(rf"(^|, ){word}(,|$)", classes)[:1]
    return whole or _holding(rf"\b{word}\b", classes) or _holding(rf"\b{word}", classes)


def everyday_words(classes: Sequence[str]) -> list[str]:
    """Return each word of at least three letters in the names of classes, and then their whole names."""
    names = [name for each in classes for name in each.split(", ")]
    words = [word for name in names for word in re.findall(r"\w{3,}", name)]
    return [*dict.fromkeys(word.casefold() for word in words), *dict.fromkeys(names)]


def _holding(pattern: str, classes: Sequence[str]) -> list[int]:
    search = re.compile(pattern, re.IGNORECASE).search
    return [index for index, known in enumerate(classes) if search(known)]
