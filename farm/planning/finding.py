"""Finds the pictures and films that one input stands for, and notes which files it leaves out."""

import glob
import os
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Final

from farm import storage
from farm.errors import BadInput
from farm.media.blank import is_blank, parse_blank
from farm.media.film import is_film_name
from farm.media.sequence import NumberedPath, is_sequence
from farm.media.still_formats import is_readable
from farm.storage import NOT_UTF8, input_path, is_utf8, shown

__all__ = ["Found", "find"]

_SYNC_BYTE: Final = b"G"
"""Starts every packet of a transport stream. Source: ISO/IEC 13818-1, 2.4.3.2."""

_LISTED: Final = 6
"""Names or numbers that one note lists before it stops."""

_COUNTED: Final = 10_000
"""Files in subfolders that are looked at, however many there are."""


@dataclass(frozen=True)
class Found:
    """What an input stands for. files: absolute paths, or ``blank:``.

    numbers: of each file, in order, if the input is a sequence. notes: what was left out.
    """

    files: Sequence[str]
    numbers: Sequence[int] = ()
    notes: Sequence[str] = ()


def find(given: str) -> Found:
    """Find a still, a film, or the pictures and films of a folder, a glob or a sequence.

    Raises BadInput for an input that does not exist or contains no picture.
    """
    if is_blank(given):
        parse_blank(given)
        return Found([given])
    try:
        return _find_remote(given) if storage.is_remote(given) else _find(given, input_path(given))
    except OSError as error:
        raise BadInput(given, (error.strerror or str(error)).lower()) from error


def _find(given: str, path: Path) -> Found:
    if path.is_dir():
        return _in_folder(given)
    if os.path.lexists(path):
        if not is_utf8(_absolute(path)):
            raise BadInput(shown(_absolute(path)), NOT_UTF8)
        return Found([_absolute(path)])
    if is_sequence(given):
        return _numbered(given)
    if glob.has_magic(given):
        return _only_pictures(given, _looked_at(_glob(given)), "glob matches")
    raise BadInput(given, _why_missing(given))


def _why_missing(given: str) -> str:
    scheme, colon, rest = given.partition(":/")
    if colon and scheme in storage.known_schemes() and not rest.startswith("/"):
        return f"no such file or folder; a URL has two slashes, as in {scheme}://{rest}"
    return "no such file or folder; check the name"


def _find_remote(given: str) -> Found:
    """Find what a URL stands for. A file and a folder may have the same one; the file comes first."""
    if not given.endswith("/") and storage.is_file(given):
        return Found([given])
    if storage.is_folder(given):
        return _in_folder(given)
    if is_sequence(given):
        return _numbered(given)
    if glob.has_magic(given):
        return _only_pictures(given, _looked_at(storage.glob(given)), "glob matches")
    raise BadInput(given, "no such file or folder; check the name")


def _in_folder(given: str) -> Found:
    """Find what is directly in a folder, and note how much is in its subfolders."""
    entries = _entries(given)
    below = [] if all(entries.values()) else [*_note_on_subfolders(given)]
    try:
        found = _only_pictures(given, entries, "folder contains")
    except BadInput as error:
        raise BadInput(given, "; ".join((error.reason, *below))) from None
    return replace(found, notes=[*found.notes, *below])


def _note_on_subfolders(given: str) -> Iterator[str]:
    """Yield a note if there are pictures in subfolders; it looks at so many files and no more."""
    files = list(islice(_files_below(given), _COUNTED))
    count = sum(map(_is_picture, files))
    if count:
        least = "at least " if len(files) == _COUNTED else ""
        what = "picture or film" if count == 1 else "pictures or films"
        verb = "was" if count == 1 else "were"
        folder = given if storage.is_remote(given) else glob.escape(given)
        pattern = shlex.quote(shown(storage.join(folder, "**")))
        yield f"{least}{count} {what} in subfolders {verb} left out; to take all, give {pattern}"


def _files_below(folder: str) -> Iterator[str]:
    """Yield the files in subfolders at any depth, without hidden ones."""
    if storage.is_remote(folder):
        start = len(storage.absolute(folder)) + 1
        for entry in storage.files_below(folder):
            parts = entry.url[start:].split("/")
            if len(parts) > 1 and not any(part.startswith(".") for part in parts):
                yield entry.url
        return
    for inner in islice(_folders_below(folder, frozenset()), 1, None):
        for url, is_file in _entries(inner).items():
            if is_file and not storage.name(url).startswith("."):
                yield url


def _entries(folder: str) -> dict[str, bool]:
    """Return the locations of what is directly in a folder, and of each whether it is a file."""
    if storage.is_remote(folder):
        return {entry.url: _is_file(entry.url) for entry in storage.entries(folder)}
    with os.scandir(Path(folder)) as entries:
        return {
            entry.path: _is_file(entry.path) if entry.is_symlink() else entry.is_file()
            for entry in entries
        }


def _looked_at(locations: Iterable[str]) -> dict[str, bool]:
    """Return of each location whether it is a file."""
    return {url: _is_file(url) for url in locations}


def _is_file(listed: str) -> bool:
    """Return whether a location that was listed is a file."""
    return not listed.endswith("/") if storage.is_remote(listed) else os.path.isfile(listed)  # noqa: PTH113


def _only_pictures(given: str, entries: Mapping[str, bool], kind: str) -> Found:
    visible = (url for url, is_file in entries.items() if is_file)
    files = [url for url in visible if not storage.name(url).startswith(".")]
    pictures = [url for url in files if _is_picture(url)]
    paths = [_absolute(url) for url in pictures]
    named = [path for path in paths if is_utf8(path)]
    notes = [*_note_on_names(paths), *_note_on_formats(files, pictures)]
    if not named:
        reason = f"this {kind} no pictures or films (entries: {len(entries)})"
        raise BadInput(given, notes[0] if pictures else reason)
    return Found(named, notes=notes)


def _is_picture(url: str) -> bool:
    return is_readable(url) or (is_film_name(url) and not _is_typescript(url))


def _is_typescript(url: str) -> bool:
    """Return whether a file named .ts does not start like a transport stream."""
    if storage.suffix(url).lower() != ".ts" or not _is_file(url):
        return False
    with input_path(url).open("rb") as file:
        return file.read(1) != _SYNC_BYTE


def _absolute(url: Path | str) -> str:
    return storage.absolute(url)  # links keep their own names


def _note_on_formats(files: Iterable[str], pictures: Iterable[str]) -> Iterator[str]:
    """Yield a note if files are in no format that the farm reads."""
    others = Counter(storage.suffix(url).lower() for url in set(files).difference(pictures))
    if others:
        count = others.total()
        kinds = ", ".join(f"{suffix or 'no suffix'} ({n})" for suffix, n in others.most_common())
        yield f"{_count(count, 'file')} left out: {shown(kinds)}"


def _note_on_names(pictures: Iterable[str]) -> Iterator[str]:
    """Yield a note if paths are not UTF-8, which neither the ledger nor a record can store."""
    names = sorted(shown(storage.name(path)) for path in pictures if not is_utf8(path))
    if names:
        reason = "rename it, because a name" if len(names) == 1 else "rename them, because names"
        yield f"{_count(len(names), 'file')} left out: {_list(names)}; {reason} must be UTF-8"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun} was" if number == 1 else f"{number} {noun}s were"


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


def _numbered(given: str) -> Found:
    """Find the files of a sequence, in the order of their numbers."""
    entries = _entries(storage.parent(given))
    names = NumberedPath.parse(storage.name(given))
    assert names
    by_number: defaultdict[int, list[str]] = defaultdict(list)
    for entry, is_file in entries.items():
        number = names.number_of(storage.name(entry)) if is_file else None
        if number is not None and _is_picture(entry):
            by_number[number].append(entry)
    if not by_number:
        raise BadInput(
            given, f"this sequence contains no pictures or films (entries: {len(entries)})"
        )
    numbers = sorted(by_number)
    repeated: list[str] = []
    files: list[str] = []
    for number in numbers:
        named = {storage.name(entry): entry for entry in by_number[number]}
        first, *others = sorted(named, key=lambda name: (name != names.path(number), name))
        files.append(_absolute(named[first]))
        repeated += (f"{other} (its number is that of {first})" for other in others)
    notes = [*_note_on_gaps(numbers), *_note_on_repeats(repeated)]
    return Found(files, numbers, notes)


def _note_on_gaps(numbers: Sequence[int]) -> Iterator[str]:
    """Yield a note if numbers are missing."""
    gaps = [range(a + 1, b) for a, b in pairwise(numbers) if b - a > 1]
    if gaps:
        count = sum(len(gap) for gap in gaps)
        listed = _list([f"{g[0]} to {g[-1]}" if len(g) > 1 else str(g[0]) for g in gaps])
        what = "number is" if count == 1 else "numbers are"
        yield f"{count} {what} missing between {numbers[0]} and {numbers[-1]}: {listed}"


def _note_on_repeats(repeated: Sequence[str]) -> Iterator[str]:
    if repeated:
        yield f"{_count(len(repeated), 'file')} left out: {_list(repeated)}"


def _glob(pattern: str) -> list[str]:
    """Return the paths that match; ``**`` follows a link only where it leads to no parent folder."""
    head, star, tail = _split(pattern)
    if not star:
        return glob.glob(pattern)  # noqa: PTH207
    bases = glob.glob(head) if head else [os.curdir]  # noqa: PTH207
    folders = (folder for base in bases for folder in _folders_below(base, frozenset()))
    rest = tail or "*"
    return [
        path
        for folder in folders
        for path in _glob(os.path.join(glob.escape(folder), rest))  # noqa: PTH118
    ]


def _split(pattern: str) -> tuple[str, str, str]:
    """Return the pattern before its first part ``**``, that part if there is one, and the rest."""
    parts = pattern.split("/")
    if "**" not in parts:
        return pattern, "", ""
    at = parts.index("**")
    head = "/".join(parts[:at])
    return head or ("/" if at else ""), "**", "/".join(parts[at + 1 :])


def _folders_below(folder: str, parents: frozenset[tuple[int, int]]) -> Iterator[str]:
    """Yield a folder and the folders in it, without hidden ones and without links to a parent."""
    try:
        status = os.stat(folder)  # noqa: PTH116 - strings
        names = sorted(os.listdir(folder))  # noqa: PTH208 - strings
    except OSError:
        return
    identity = (status.st_dev, status.st_ino)
    if identity in parents:
        return
    yield folder
    for name in names:
        inner = os.path.join(folder, name)  # noqa: PTH118 - strings
        if not name.startswith(".") and os.path.isdir(inner):  # noqa: PTH112 - strings
            yield from _folders_below(inner, parents | {identity})
