"""One door to all storage. Each function takes a local path or a URL.

A remote file is read through a copy on this machine, and written to a file here that is put to the
storage when it is complete.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, Final

from farm.errors import BadInput, BadOutput, InputChanged, StorageFailed, StorageUnavailable
from farm.storage import local
from farm.storage.copies import local_copies
from farm.storage.fences import expected_at, fence, written
from farm.storage.local_disk import LocalDisk, translated_errors
from farm.storage.measuring import transfer
from farm.storage.scheme import ABSENT, Entry, Scheme, Stat
from farm.storage.schemes import scheme_of
from farm.storage.urls import absolute, as_folder, is_own, is_remote

__all__ = [
    "as_seen",
    "check_output",
    "entries",
    "exists",
    "fenced",
    "files_below",
    "input_path",
    "is_file",
    "is_folder",
    "local_folder",
    "make_folder",
    "open_whole",
    "remove_file",
    "remove_files",
    "remove_folder",
    "remove_leftovers",
    "seen",
    "size_of",
]

_DISK: Final = LocalDisk()
_ATTEMPTS: Final = 3
"""How often to look at a file anew that is replaced while it is fetched."""

_views: Final[ContextVar[dict[str, Stat] | None]] = ContextVar("farm_views", default=None)


def _scheme(url: str | Path) -> Scheme:
    return scheme_of(str(url)) if is_remote(url) else _DISK


def _output_scheme(url: str | Path) -> Scheme:
    return scheme_of(str(url), BadOutput) if is_remote(url) else _DISK


def seen(url: str) -> Stat | None:
    """Return a remote file as it is now, or as as_seen holds it; None if there is no such file."""
    held = (_views.get() or {}).get(absolute(url))
    return held or scheme_of(url).stat(absolute(url))


@contextmanager
def as_seen(url: str, stat: Stat) -> Iterator[None]:
    """Read a remote file as it was seen within the block, without asking for its version again."""
    before = _views.set((_views.get() or {}) | {absolute(url): stat})
    try:
        yield
    finally:
        _views.reset(before)


def input_path(url: str | Path) -> Path:
    """Return the local path of an input; of a remote file, that of a copy, fetched if needed.

    Raises BadInput if a path is invalid or there is no such remote file, InputChanged, StorageFailed.
    """
    if not is_remote(url):
        return local.local_input(str(url))
    for _ in range(_ATTEMPTS - 1):
        with suppress(InputChanged):
            return _copy(absolute(url))
    return _copy(absolute(url))


def _copy(url: str) -> Path:
    stat = seen(url)
    if stat is None:
        raise BadInput(url, "no such file")
    return local_copies().copy(url, stat, scheme_of(url))


def local_folder(url: str | Path, report: Callable[[float], None] = lambda _done: None) -> Path:
    """Return a local folder; of a remote one, a copy as it is now, fetched if needed.

    The copy never changes, and leaves claims and incomplete files out. report: receives the fraction
    that has been fetched. Raises as input_path does.
    """
    if not is_remote(url):
        return local.local_input(str(url))
    folder = as_folder(str(url))
    scheme = scheme_of(folder)
    files = [file for file in scheme.files_below(folder) if not is_own(file.url)]
    if not files:
        raise BadInput(absolute(url), "no such file or folder")
    return local_copies().copy_folder(folder, files, scheme, report)


@contextmanager
def open_whole(url: str | Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when complete.

    The file has a local name. Creates missing parent folders. Within fenced, it replaces only what
    the attempt knows. Raises BadOutput if it cannot be written, StorageUnavailable if nothing can
    be written there, OutputReplaced, and StorageFailed on other errors.
    """
    expected = expected_at(str(url))
    if not is_remote(url):
        with transfer(url, "write") as moved:
            with local.open_whole(Path(url), expected) as file:
                yield file
                moved.begin()
            with suppress(OSError):  # it may be gone again
                moved.bytes = Path(url).stat().st_size
        if expected is not None:
            written(str(url), local.version_of(Path(url)))
        return
    target = absolute(url)
    scheme, copies = _output_scheme(target), local_copies()
    with copies.staged() as file:
        yield file
        file.flush()
        path = Path(file.name)
        digest = local.sha256_file(path)
        with transfer(target, "write") as moved:
            moved.begin()
            stat = scheme.put(target, path, digest, expected=expected)
            moved.bytes = stat.size
        written(target, stat.version)
        copies.keep(target, stat, path)


@contextmanager
def fenced(url: str | Path) -> Iterator[None]:
    """Let the block replace only what is there now, or what it has written itself.

    Use it around one attempt at a unit. Any other open_whole of this location raises OutputReplaced.
    It holds for this thread, not for those that the block starts.
    """
    with fence(str(url), _version):
        yield


def _version(url: str) -> str:
    if not is_remote(url):
        with translated_errors(url):
            return local.version_of(Path(url))
    try:
        stat = _output_scheme(url).stat(absolute(url))
    except BadInput as error:
        raise BadOutput(error.source, error.reason) from error
    except StorageFailed as error:
        raise StorageUnavailable(error.url, error.reason) from error
    return stat.version if stat else ABSENT


def exists(url: str | Path) -> bool:
    """Return whether there is a file or a folder."""
    return is_file(url) or is_folder(url)


def is_file(url: str | Path) -> bool:
    """Return whether there is a file. A remote storage may raise BadInput or StorageFailed."""
    return Path(url).is_file() if not is_remote(url) else seen(str(url)) is not None


def size_of(url: str | Path) -> int:
    """Return how many bytes a file has; 0 if that cannot be told at present."""
    with suppress(OSError, BadInput, StorageFailed):
        if not is_remote(url):
            return Path(url).stat().st_size
        if stat := seen(str(url)):
            return stat.size
    return 0


def is_folder(url: str | Path) -> bool:
    """Return whether there is a folder; a remote one is there if there is anything in it."""
    return Path(url).is_dir() if not is_remote(url) else next(entries(url), None) is not None


def entries(url: str | Path) -> Iterator[Entry]:
    """Yield what is directly in a folder, page by page. Raises BadInput, StorageFailed."""
    return _scheme(url).entries(_folder(url))


def files_below(url: str | Path) -> Iterator[Entry]:
    """Yield all files in a folder and its subfolders, page by page."""
    return _scheme(url).files_below(_folder(url))


def _folder(url: str | Path) -> str:
    return as_folder(str(url))


def make_folder(url: str | Path) -> None:
    """Create a local folder and its parents; a remote one needs none. Raises BadOutput and others."""
    if is_remote(url):
        return
    try:
        Path(url).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise local.write_error(str(url), error) from error


def check_output(url: str) -> None:
    """Raise BadOutput, or StorageUnavailable, if nothing can be written beside a remote file."""
    if is_remote(url):
        _output_scheme(url).check_output(absolute(url))


def remove_file(url: str | Path) -> None:
    """Remove a file; ignore any error."""
    with suppress(OSError, BadInput, BadOutput, StorageFailed):
        _output_scheme(url).remove(absolute(url))


def remove_files(urls: Iterable[str]) -> None:
    """Remove files, with few requests where they are remote; ignore any error."""
    by_scheme: defaultdict[Scheme, list[str]] = defaultdict(list)
    for url in urls:
        with suppress(BadOutput):
            by_scheme[_output_scheme(url)].append(absolute(url))
    for scheme, named in by_scheme.items():
        with suppress(OSError, BadInput, BadOutput, StorageFailed):
            scheme.remove_all(named)


def remove_folder(url: str | Path) -> None:
    """Remove one of the farm's folders and its contents; ignore any error."""
    with suppress(OSError, BadInput, BadOutput, StorageFailed):
        _output_scheme(url).remove_folder(_folder(url))


def remove_leftovers(url: str | Path) -> None:
    """Remove what dead writers left in a folder; ignore any error."""
    with suppress(OSError, BadInput, BadOutput, StorageFailed):
        _output_scheme(url).remove_leftovers(_folder(url))
