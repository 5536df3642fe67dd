"""Chooses the path of each output, and checks outputs before any work."""

import os
from collections.abc import Iterable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Final

from farm import storage
from farm.errors import BadOutput
from farm.media.blank import is_blank
from farm.media.film import WRITABLE_FILMS, is_film
from farm.media.sequence import is_sequence
from farm.media.still_formats import WRITABLE, is_readable
from farm.planning.inputs import Source
from farm.storage import is_own, is_remote, output_path

__all__ = [
    "Inputs",
    "check_output",
    "check_run_folder",
    "film_targets",
    "is_film_target",
    "is_one_frame",
    "is_rendered_by_frame",
    "target_for",
    "targets_for",
]

_STILL: Final = ".png"
_FILM: Final = ".mp4"


def is_film_target(output: str) -> bool:
    """Return whether the output has the suffix of a film."""
    return not output.endswith("/") and storage.suffix(output).lower() in WRITABLE_FILMS


def is_rendered_by_frame(source: Source, output: str, many: bool) -> bool:  # noqa: FBT001 - as target_for
    """Return whether a source is rendered frame by frame.

    Films are, and so are animated GIFs, unless the output is a picture file.
    """
    return is_film(source.url) and (_is_folder(output, many=many) or not _is_gif(source))


def _is_gif(source: Source) -> bool:
    return storage.suffix(source.url).lower() == ".gif"


def is_one_frame(sources: Sequence[Source], output: str, frames: str | None) -> bool:
    """Return whether a picture file is to be rendered from one frame of a film, by its number."""
    if len(sources) != 1 or not is_film(sources[0].url) or not (frames or "").isdecimal():
        return False
    is_still = storage.suffix(output).lower() in WRITABLE and not _is_folder(output, many=False)
    return is_still and not is_sequence(output)


def target_for(source: Source, output: str, many: bool) -> str:  # noqa: FBT001 - one rule for both
    """Return the path or URL that the rendering of a source is written to.

    output: a file or a folder. It is a folder if it exists as one, ends with a slash, has no suffix,
    or if there are many sources. many: the job has several sources. In a folder each keeps its
    name, and its suffix if that format can be written.

    Raises BadOutput for many sources and one picture file, or for a film and a picture file.
    """
    return _target(source, output, is_folder=_is_folder(output, many=many))


def targets_for(sources: Iterable[Source], output: str, many: bool) -> list[str]:  # noqa: FBT001 - as target_for
    """Return what target_for returns for each source, after one look at the output."""
    is_folder = _is_folder(output, many=many)
    return [_target(source, output, is_folder=is_folder) for source in sources]


def _target(source: Source, output: str, *, is_folder: bool) -> str:
    is_moving = is_film(source.url) and (is_folder or not _is_gif(source))
    if not is_folder:
        if is_moving:
            films = ", ".join(WRITABLE_FILMS)
            reason = (
                f"{source.name} is a film; give a folder, a film ({films}), frame_%05d.png, or "
                "the number of one frame, such as --frames 24"
            )
            raise BadOutput(output, reason)
        return output
    origin = "" if is_blank(source.url) else storage.name(source.url)
    own = storage.suffix(origin) if origin else ""
    writable, default = (WRITABLE_FILMS, _FILM) if is_moving else (WRITABLE, _STILL)
    suffix = own if own.lower() in writable else default
    has_suffix = source.name == origin and suffix == own
    return storage.join(output, source.name if has_suffix else source.name + suffix)


def film_targets(output: str, sources: Sequence[Source], frames: str | None) -> list[str]:
    """Return what a job writes of films, as far as names tell. frames: as in JobSpec."""
    if is_film_target(output) or is_one_frame(sources, output, frames):
        return [output]
    many = len(sources) > 1
    films = (source for source in sources if is_rendered_by_frame(source, output, many))
    return [] if is_sequence(output) else targets_for(films, output, many)


_Identity = tuple[int, int] | str
"""Device and inode. Paths that lead to one file, by links or by mounts, have the same. Else the URL."""


class Inputs:
    """The files that a job reads, which its outputs must not replace, by whatever path.

    Each is looked at once, when first needed. files: paths and URLs of sources and of whatever parameters name, folders included.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self._urls = [file for file in files if not is_blank(file)]

    @cached_property
    def _identities(self) -> set[_Identity]:
        return {identity for url in self._urls if (identity := _identity(url))}

    @cached_property
    def _parents(self) -> set[_Identity]:
        real_folder = cache(_real)

        def real_parent(url: str) -> str:
            """Return the folder that a path leads to. Most files of a job are in few folders."""
            is_in_its_folder = storage.name(url) not in {"", ".."} and not os.path.islink(url)  # noqa: PTH114
            return (
                real_folder(storage.parent(url)) if is_in_its_folder else storage.parent(_real(url))
            )

        urls = {parent for url in self._urls for parent in (storage.parent(url), real_parent(url))}
        return {identity for url in urls if (identity := _identity(url))}

    def check(self, targets: Iterable[str]) -> None:
        """Raise BadOutput for a target that is one of the files, or is in one of the folders."""
        exists: dict[str, bool] = {}
        for target in targets:
            folder = storage.parent(target)
            if folder not in exists:
                self._check_folder(target, folder)
                exists[folder] = is_remote(folder) or _is_existing_folder(folder)
            if exists[folder] and _identity(target) in self._identities:
                raise BadOutput(target, "this is also an input; choose another path")

    def are_in(self, folder: str) -> bool:
        """Return whether a folder contains one of the files."""
        return _identity(folder) in self._parents

    def _check_folder(self, target: str, folder: str) -> None:
        real = _real(folder)
        for path in (real, *storage.parents(real)):
            may_be = is_remote(path) or _is_existing_folder(path)
            if may_be and _identity(path) in self._identities:
                reason = f"the folder {path} is an input; choose a path outside it"
                raise BadOutput(target, reason)


def _real(url: str) -> str:
    """Return a path without links; a URL as it is."""
    return url if is_remote(url) else os.path.realpath(url)


def _identity(url: str) -> _Identity | None:
    if is_remote(url):
        return storage.absolute(url)
    try:
        status = os.stat(url)  # noqa: PTH116 - a string
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def check_output(
    output: str, sources: Sequence[Source], files: Iterable[str] = (), frames: str | None = None
) -> Inputs:
    """Raise BadOutput if an output cannot be written or would replace an input.

    files: further inputs, such as those that parameters name. frames: as in JobSpec. Creates and changes nothing. Looks at
    the targets that need no plan; the inputs that it returns can check those of a plan.
    """
    _check_remote(output)
    many = len(sources) > 1
    urls = [source.url for source in sources]
    inputs = Inputs([*urls, *files])
    if is_sequence(output) or is_film_target(output):
        inputs.check([output])
        if is_sequence(output):
            _check_sequence(output, Inputs(urls))
        _check_folder(output, storage.parent(output))
        return inputs
    is_one = is_one_frame(sources, output, frames)
    inputs.check([output] if is_one else targets_for(sources, output, many))
    if _is_folder(output, many=many):
        _check_folder(output, output)
    else:
        _check_file(output)
        _check_folder(output, storage.parent(output))
    return inputs


def check_run_folder(output: str, *, is_resumed: bool) -> None:
    """Raise BadOutput if the folder of a run cannot be created or is not empty.

    is_resumed: the folder may contain an earlier run. What a farm left when it was killed does not
    count, nor does a claim: whether that is still alive is seen when the folder is claimed.
    """
    _check_remote(output)
    _check_folder(output, output)
    if is_resumed:
        return
    if is_remote(output):
        is_empty = all(is_own(entry.url) for entry in storage.entries(output))
    else:
        is_empty = not _is_existing_folder(output) or all(map(is_own, Path(output).iterdir()))
    if not is_empty:
        raise BadOutput(output, "the folder is not empty; add --resume to resume the run in it")


def _check_sequence(output: str, inputs: Inputs) -> None:
    if storage.suffix(output).lower() not in WRITABLE:
        raise BadOutput(output, f"{_unsupported(output)} for numbered pictures")
    if inputs.are_in(storage.parent(output)):
        raise BadOutput(output, "this folder contains inputs; choose another folder")


def _is_folder(output: str, *, many: bool) -> bool:
    if output.endswith("/"):
        return True
    suffix = storage.suffix(output)
    if not suffix or _is_existing_folder(output):
        return True
    if many and (suffix.lower() in WRITABLE or is_readable(output)):
        reason = f"several inputs need a folder; give {output.removesuffix(suffix)}/"
        raise BadOutput(output, reason)
    return many


def _is_existing_folder(folder: str) -> bool:
    if is_remote(folder):
        return storage.is_folder(folder)
    return os.path.isdir(folder)  # noqa: PTH112 - returns False if it is inaccessible


def _check_file(output: str) -> None:
    if storage.suffix(output).lower() not in WRITABLE:
        raise BadOutput(output, f"{_unsupported(output)}, or end a folder with /")


def _unsupported(output: str) -> str:
    return f"unsupported suffix {storage.suffix(output)!r}; use one of {', '.join(WRITABLE)}"


def _check_folder(output: str, location: str) -> None:
    """Raise BadOutput if a folder cannot be created or written to, or not under this name."""
    if is_remote(location):
        return
    folder = output_path(location)
    nearest = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not nearest.is_dir():
        raise BadOutput(output, f"{nearest} is a file, not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise BadOutput(output, f"no permission to write in {nearest}")
    longest = os.pathconf(nearest, "PC_NAME_MAX")
    if any(len(os.fsencode(name)) > longest for name in Path(output).parts):
        reason = f"a name may have at most {longest} bytes here; choose a shorter one with -o"
        raise BadOutput(output, reason)


def _check_remote(output: str) -> None:
    """Raise BadOutput if an output at a URL cannot be written, by writing beside or inside it."""
    is_folder = output.endswith("/") or not storage.suffix(output)
    try:
        storage.check_output(storage.join(output, storage.name(output)) if is_folder else output)
    except BadOutput as error:
        raise BadOutput(output, error.reason) from error
