"""Lists and names what to render, from stills, films, folders, globs, sequences and blanks.

Looks at file names only, and opens no picture.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from natsort import natsorted, ns

from farm import storage
from farm.errors import BadInput
from farm.media.blank import is_blank
from farm.media.sequence import NumberedPath
from farm.model.events import Notice
from farm.model.sent_files import digest_last, is_digest
from farm.planning.finding import Found, find

__all__ = ["Source", "check_named", "found_files", "list_inputs"]

Notify = Callable[[Notice], None]

_SHOWN: Final = 8
"""Digits of a digest in the name of an input."""


@dataclass(frozen=True)
class Source:
    """A picture or film to render.

    name: unique among the inputs. url: absolute path, URL or ``blank:``. number: of a picture in a
    sequence.
    """

    name: str
    url: str
    number: int | None = None


def list_inputs(inputs: Sequence[str], notify: Notify = lambda _: None) -> list[Source]:
    """Return the pictures and films of the inputs, each once, in natural order (2 before 10).

    inputs: stills, films, folders (without their subfolders and hidden files), globs, sequences
    (``frame_%05d.png``), any of these as a URL, and ``blank:WIDTHxHEIGHT`` with an optional
    ``:#rrggbb``.
    notify: receives a notice for whatever is left out. A name is the stem of the file, or as much
    of its path as makes it unique.

    Raises BadInput for an input that does not exist or contains no picture.
    """
    keys: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for given in inputs:
        found = find(given)
        for note in found.notes:
            notify(Notice(given, note))
        keys |= zip(found.files, _sort_keys(given, found), strict=True)
        numbers |= zip(found.files, found.numbers, strict=False)
    kept = _reached_once(keys)
    urls = [url for url in natural_order(keys, keys.__getitem__) if url in kept]
    names = _unique_names(urls)
    return [Source(name, url, numbers.get(url)) for name, url in zip(names, urls, strict=True)]


def found_files(inputs: Iterable[str]) -> set[str]:
    """Return the absolute paths and URLs that list_inputs chooses from. Raises BadInput as it does."""
    return {url for given in inputs for url in find(given).files}


def check_named(files: Iterable[str]) -> None:
    """Raise BadInput, as list_inputs does, for files of which two would get the same name."""
    _unique_names(sorted(_reached_once(files)))


def natural_order(urls: Iterable[str], key: Callable[[str], str] | None = None) -> list[str]:
    """Return URLs sorted so that numbers compare by value and case does not matter.

    key: returns the text to compare; None for the URL.
    """
    texts = {url: key(url) if key else url for url in sorted(urls)}
    shared = os.path.commonprefix([*texts.values()]).rfind("/") + 1  # noqa: RUF071
    return natsorted(texts, lambda url: texts[url][shared:], alg=ns.IGNORECASE)


def _sort_keys(given: str, found: Found) -> Sequence[str]:
    """Return the texts by which files are sorted: their paths, unless a number is negative.

    A file whose folder is named by its digest, as one that was sent, goes by its own name first.
    """
    pattern = NumberedPath.parse(storage.absolute(given))
    if not found.numbers or found.numbers[0] >= 0 or not pattern:
        return [digest_last(url) for url in found.files]
    lowest = found.numbers[0]
    return [f"{pattern.before}{number - lowest}{pattern.after}" for number in found.numbers]


def _reached_once(urls: Iterable[str]) -> set[str]:
    """Return the URLs without files that links lead to again, under the same name.

    The shortest path is kept. A link to a file is a picture with a name of its own.
    """

    @cache
    def identity(folder: str) -> tuple[int, int] | str:
        if storage.is_remote(folder):
            return folder
        status = os.stat(folder)  # noqa: PTH116 - strings
        return status.st_dev, status.st_ino

    kept: dict[object, str] = {}
    for url in sorted(urls, key=lambda url: (url.count(os.sep), url)):
        folder, name = storage.parent(url), storage.name(url)
        kept.setdefault(url if is_blank(url) else (identity(folder), name), url)
    return set(kept.values())


def _unique_names(urls: Sequence[str]) -> list[str]:
    """Return a name for each path, as short as it can be and still be unique."""
    names = [_shortest_name(url) for url in urls]
    candidates: dict[int, Iterator[str]] = {}
    while clashes := _clashes(names, urls):
        before = {i: names[i].casefold() for i in clashes}
        for i, name in before.items():
            longer = next(candidates.setdefault(i, _longer_names(urls[i])), None)
            if longer is None:
                other = next(urls[j] for j in before if j != i and before[j] == name)
                reason = f"its output would get the same name as that of {other}; rename one"
                raise BadInput(urls[i], reason)
            names[i] = longer
    return names


def _clashes(names: Sequence[str], urls: Sequence[str]) -> list[int]:
    """Return the indices of names that are equal, or would be on a disk that ignores case.

    Names that differ only by case are fine if their paths do too: a disk that can store both
    inputs in one folder can store both outputs.
    """
    counts = Counter(names)
    paths: defaultdict[str, set[str]] = defaultdict(set)
    for name, url in zip(names, urls, strict=True):
        paths[name.casefold()].add(url.casefold())
    return [
        i for i, name in enumerate(names) if counts[name] > 1 or len(paths[name.casefold()]) > 1
    ]


def _shortest_name(url: str) -> str:
    if is_blank(url):
        return re.sub("[:#]+", "_", url)
    name = storage.name(url)
    return name.removesuffix(storage.suffix(name))


def _longer_names(url: str) -> Iterator[str]:
    """Yield names for a path, from short to long: after a, these are a.jpg, holiday_a, holiday_a.jpg ..."""
    if is_blank(url):
        return
    stem, name, prefix = _shortest_name(url), storage.name(url), ""
    yield name
    for folder in filter(None, map(storage.name, storage.parents(url))):
        folder = folder[:_SHOWN] if is_digest(folder) else folder  # noqa: PLW2901
        prefix = f"{folder}_{prefix}"
        yield from (prefix + stem, prefix + name)
