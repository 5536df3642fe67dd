"""Lists and names what to render, from stills, films, folders, globs, sequences and blanks.

Looks at file names only, and opens no picture.
"""

import glob
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from natsort import natsorted, ns

from farm.errors import BadInput
from farm.media.blank import is_blank, parse_blank
from farm.media.film import is_film_name
from farm.media.sequence import is_sequence, split_pattern
from farm.media.still_formats import is_readable
from farm.storage import input_path

__all__ = ["Source", "list_inputs"]


@dataclass(frozen=True)
class Source:
    """A picture or film to render. name: unique among the inputs. url: absolute path, or ``blank:``."""

    name: str
    url: str


def list_inputs(inputs: Sequence[str]) -> list[Source]:
    """Return the pictures and films of the inputs, each once, in natural order (2 before 10).

    inputs: stills, films, folders (without their subfolders and hidden files), globs, sequences
    (``frame_%05d.png``), and ``blank:WIDTHxHEIGHT`` with an optional ``:#rrggbb``.
    A name is the stem of the file, or as much of its path as makes it unique.

    Raises BadInput for an input that does not exist or contains no picture.
    """
    expanded = {url for given in inputs for url in _expand(given)}
    urls = natural_order(expanded)
    return [Source(name, url) for name, url in zip(_unique_names(urls), urls, strict=True)]


def natural_order(urls: Iterable[str]) -> list[str]:
    """Return URLs sorted so that numbers compare by value and case does not matter."""
    return natsorted(sorted(urls), alg=ns.IGNORECASE)


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
        return _only_pictures(given, list(path.iterdir()), "folder contains")
    if os.path.lexists(path):
        return [_absolute(path)]
    if is_sequence(given):
        return _only_pictures(given, _numbered(path), "sequence contains")
    if glob.has_magic(given):
        matches = [Path(match) for match in glob.glob(given, recursive=True)]  # noqa: PTH207
        return _only_pictures(given, matches, "glob matches")
    raise BadInput(given, "no such file or folder")


def _only_pictures(given: str, paths: list[Path], kind: str) -> list[str]:
    pictures = [path for path in paths if _is_picture(path)]
    if not pictures:
        raise BadInput(given, f"this {kind} no pictures or films (entries: {len(paths)})")
    return [_absolute(path) for path in pictures]


def _numbered(path: Path) -> list[Path]:
    """Return the files that match a pattern such as frame_%05d.png."""
    before, places, after = split_pattern(path.name)
    name = re.compile(rf"{re.escape(before)}\d{{{places},}}{re.escape(after)}")
    return [file for file in path.parent.iterdir() if name.fullmatch(file.name)]


def _is_picture(path: Path) -> bool:
    is_media = is_readable(path) or is_film_name(path)
    return is_media and not path.name.startswith(".") and path.is_file()


def _absolute(path: Path) -> str:
    return os.path.abspath(path)  # noqa: PTH100 - links keep their own names


def _unique_names(urls: Sequence[str]) -> list[str]:
    """Return a name for each path, as short as it can be and still be unique."""
    candidates = [_candidate_names(url) for url in urls]
    lengths = [0] * len(urls)
    while True:
        names = [options[length] for options, length in zip(candidates, lengths, strict=True)]
        clashes = _clashes(names, urls)
        if not clashes:
            return names
        for i in clashes:
            lengths[i] += 1
            if lengths[i] == len(candidates[i]):
                reason = f"two inputs would both be named {names[i]!r}; rename one"
                raise BadInput(urls[i], reason)


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


def _candidate_names(url: str) -> list[str]:
    """Return names for a path, from short to long: a, a.jpg, holiday_a, holiday_a.jpg ..."""
    if is_blank(url):
        return [re.sub("[:#]+", "_", url)]
    path = Path(url)
    folders = [part for part in path.parts[:-1] if part != path.anchor]
    names = []
    for depth in range(len(folders) + 1):
        prefix = "".join(f"{folder}_" for folder in folders[len(folders) - depth :])
        names += [prefix + path.stem, prefix + path.name]
    return names
