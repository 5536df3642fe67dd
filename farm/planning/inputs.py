"""Finding what to render: stills, films, folders, globs, sequences and blanks, each named.

Looks at names only; no picture is opened here.
"""

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.errors import BadInput
from farm.media.blank import is_blank, parse_blank
from farm.media.film import is_film_name
from farm.media.sequence import is_sequence, split_pattern
from farm.media.still_formats import is_readable
from farm.storage import input_path

__all__ = ["Source", "list_inputs"]


@dataclass(frozen=True)
class Source:
    """One picture or film to render. name: unique within a list. url: absolute path, or ``blank:``."""

    name: str
    url: str


def list_inputs(inputs: Sequence[str]) -> list[Source]:
    """Return the pictures and films that inputs name, each once, sorted so that 2 comes before 10.

    inputs: stills, films, folders (their own files, not those of folders inside; hidden files
    are left out), globs, sequences (``frame_%05d.png``), and ``blank:WIDTHxHEIGHT`` with an optional ``:#rrggbb``.
    A name is the file's stem, or as much of its path as it takes to be unique.

    Raises BadInput for an input that is not there or holds no picture.
    """
    found = {url for given in inputs for url in _expand(given)}
    urls = sorted(found, key=natural_key)
    return [Source(name, url) for name, url in zip(_unique_names(urls), urls, strict=True)]


def natural_key(text: str) -> tuple[object, ...]:
    """Return a sort key that takes runs of digits as numbers and capitals as small letters."""
    parts = re.split(r"([0-9]+)", text.casefold())
    words = tuple((int(part), "") if i % 2 else (0, part) for i, part in enumerate(parts))
    return (words, text)


def _expand(given: str) -> list[str]:
    if is_blank(given):
        parse_blank(given)
        return [given]
    try:
        return _find(given, input_path(given))
    except OSError as error:
        raise BadInput(given, (error.strerror or str(error)).lower()) from error


def _find(given: str, path: Path) -> list[str]:
    if path.is_dir():
        return _pictures(given, list(path.iterdir()), "folder")
    if os.path.lexists(path):
        return [_absolute(path)]
    if is_sequence(given):
        return _pictures(given, _numbered(path), "sequence")
    if glob.has_magic(given):
        matches = [Path(match) for match in glob.glob(given, recursive=True)]  # noqa: PTH207
        return _pictures(given, matches, "glob")
    raise BadInput(given, "no such file or folder")


def _pictures(given: str, paths: list[Path], kind: str) -> list[str]:
    pictures = [path for path in paths if _is_picture(path)]
    if not pictures:
        raise BadInput(given, f"this {kind} has no picture or film among {len(paths)} names")
    return [_absolute(path) for path in pictures]


def _numbered(path: Path) -> list[Path]:
    """Return the files that a pattern such as frame_%05d.png stands for."""
    before, places, after = split_pattern(path.name)
    name = re.compile(rf"{re.escape(before)}\d{{{places},}}{re.escape(after)}")
    return [found for found in path.parent.iterdir() if name.fullmatch(found.name)]


def _is_picture(path: Path) -> bool:
    is_media = is_readable(path) or is_film_name(path)
    return is_media and not path.name.startswith(".") and path.is_file()


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links keep their own names


def _unique_names(urls: Sequence[str]) -> list[str]:
    """Return a name for each path, lengthened where two are equal."""
    ladders = [_candidates(url) for url in urls]
    steps = [0] * len(urls)
    while True:
        names = [ladder[step] for ladder, step in zip(ladders, steps, strict=True)]
        clashing = _clashing(names, urls)
        if not clashing:
            return names
        for i in clashing:
            steps[i] += 1
            if steps[i] == len(ladders[i]):
                raise BadInput(urls[i], f"its name {names[i]!r} is another's too; rename one")


def _clashing(names: Sequence[str], urls: Sequence[str]) -> list[int]:
    """Return where names are equal, or differ in capitals only though their paths differ in more.

    A disk that tells a.png from A.png in one folder tells them apart among the outputs too.
    """
    counts = Counter(names)
    paths: defaultdict[str, set[str]] = defaultdict(set)
    for name, url in zip(names, urls, strict=True):
        paths[name.casefold()].add(url.casefold())
    return [
        i for i, name in enumerate(names) if counts[name] > 1 or len(paths[name.casefold()]) > 1
    ]


def _candidates(url: str) -> list[str]:
    """Return names for a path from short to long: a, a.jpg, holiday_a, holiday_a.jpg ..."""
    if is_blank(url):
        return [re.sub("[:#]+", "_", url)]
    path = Path(url)
    folders = [part for part in path.parts[:-1] if part != path.anchor]
    names = []
    for depth in range(len(folders) + 1):
        prefix = "".join(f"{folder}_" for folder in folders[len(folders) - depth :])
        names += [prefix + path.stem, prefix + path.name]
    return names
