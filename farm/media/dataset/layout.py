"""How the names of a source's pictures divide into parts and categories. Touches no files."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from natsort import natsorted, ns

from farm.media.still_formats import is_readable
from farm.model.specs import Part

__all__ = ["Layout", "arrange", "is_hidden", "is_picture_name", "natural"]

_PARTS: Final = frozenset({"train", "val", "test"})
"""Top-level folders that are parts, if there is a train/ and no folder by another name."""

_RESOURCE_FORKS: Final = "__MACOSX"
"""The folder of a zip in which macOS keeps metadata, under the names of the pictures."""


@dataclass(frozen=True)
class Layout:
    """The pictures of one part, in natural order. categories: of all parts, by number."""

    names: Sequence[str]
    labels: Sequence[int]
    categories: Sequence[str]


def arrange(names: Iterable[str], part: Part) -> Layout:
    """Return the pictures of a part of a source.

    names: of every picture, relative to the source, separated by slashes. A source with a train/,
    and at most a val/ and a test/ beside it, has parts; all of any other source is for training.
    If no picture of train and val is outside a folder, the first folders are its categories.
    """
    split = {name: name.split("/") for name in natural(names)}
    divided = _has_parts(split.values())
    inner = {name: words[1:] if divided else words for name, words in split.items()}
    known = [name for name in split if not divided or split[name][0] != "test"]
    is_sorted = all(len(inner[name]) > 1 for name in known)
    categories = natural({inner[name][0] for name in known}) if is_sorted else []
    numbers = {category: number for number, category in enumerate(categories)}
    own = [name for name in known if (split[name][0] if divided else "train") == part]
    labels = [numbers.get(inner[name][0], 0) for name in own]
    return Layout(tuple(own), tuple(labels), tuple(categories))


def _has_parts(paths: Collection[Sequence[str]]) -> bool:
    tops = {words[0] for words in paths}
    is_loose = any(len(words) == 1 for words in paths)
    return "train" in tops and tops <= _PARTS and not is_loose


def natural(names: Iterable[str]) -> list[str]:
    """Return names sorted so that numbers compare by value and case does not matter."""
    return natsorted(sorted(names), alg=ns.IGNORECASE)


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is none of the user's pictures."""
    return name.startswith(".") or name == _RESOURCE_FORKS


def is_picture_name(name: str) -> bool:
    """Return whether a name's suffix is that of a still that can be read."""
    return is_readable(name)
