"""Where a rendered picture or film goes, and whether it may, asked before any work."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from farm.errors import BadOutput
from farm.media.blank import is_blank
from farm.media.film import WRITABLE_FILMS, is_film
from farm.media.sequence import is_sequence
from farm.media.still_formats import WRITABLE, is_readable
from farm.planning.inputs import Source
from farm.storage import output_path

__all__ = ["check_output", "check_run", "is_film_target", "moves", "target_for"]

_STILL: Final = ".png"
_FILM: Final = ".mp4"


def is_film_target(output: str) -> bool:
    """Say whether the output's suffix is one of a film."""
    return not output.endswith("/") and Path(output).suffix.lower() in WRITABLE_FILMS


def moves(source: Source, output: str, many: bool) -> bool:  # noqa: FBT001 - as target_for
    """Say whether a source is rendered frame by frame; of an animated GIF a still is made too."""
    if not is_film(source.url):
        return False
    is_gif = Path(source.url).suffix.lower() == ".gif"
    return not is_gif or _is_folder(output, many=many)


def target_for(source: Source, output: str, many: bool) -> str:  # noqa: FBT001 - one rule for both
    """Return the path that a source's rendering is written to.

    output: a file, or a folder: one that is there, ends in a slash, has no suffix, or takes many.
    many: the job has several sources. In a folder each keeps its name, and its suffix where that
    is written.

    Raises BadOutput for many sources into one file, or a film into a picture.
    """
    is_moving = moves(source, output, many)
    if not _is_folder(output, many=many):
        if is_moving:
            films = ", ".join(WRITABLE_FILMS)
            reason = f"{source.name} is a film; give a folder, one of {films}, or frame_%05d.png"
            raise BadOutput(output, reason)
        return output
    origin = Path("" if is_blank(source.url) else source.url)
    written, default = (WRITABLE_FILMS, _FILM) if is_moving else (WRITABLE, _STILL)
    kept = origin.suffix if origin.suffix.lower() in written else default
    is_complete = source.name == origin.name and kept == origin.suffix
    return str(output_path(output) / (source.name if is_complete else source.name + kept))


def check_output(output: str, sources: Sequence[Source]) -> None:
    """Refuse an output that cannot be written, or would replace an input.

    Looks, and changes nothing. Raises BadOutput.
    """
    many = len(sources) > 1
    path = output_path(output)
    inputs = {os.path.realpath(source.url) for source in sources if not is_blank(source.url)}
    if is_sequence(output) or is_film_target(output):
        if os.path.realpath(output) in inputs:
            raise BadOutput(output, "this is an input; choose another place")
        if is_sequence(output):
            _check_sequence(output, path, inputs)
        _check_folder(output, path.parent)
        return
    for source in sources:
        target = target_for(source, output, many)
        if os.path.realpath(target) in inputs:
            raise BadOutput(target, "this is an input; choose another place")
    if _is_folder(output, many=many):
        _check_folder(output, path)
    else:
        _check_file(output)
        _check_folder(output, path.parent)


def check_run(output: str, *, is_resumed: bool) -> None:
    """Refuse a run's folder that cannot be made, or holds something. Raises BadOutput.

    is_resumed: a folder that holds something is gone on with.
    """
    folder = output_path(output)
    _check_folder(output, folder)
    if not is_resumed and _is_there(folder) and any(folder.iterdir()):
        raise BadOutput(output, "the folder is not empty; add --resume to go on with its run")


def _check_sequence(output: str, path: Path, inputs: set[str]) -> None:
    if path.suffix.lower() not in WRITABLE:
        raise BadOutput(output, f"{path.suffix or 'no suffix'}: give one of {', '.join(WRITABLE)}")
    folder = os.path.realpath(path.parent)
    if folder in {os.path.dirname(place) for place in inputs}:  # noqa: PTH120 - texts
        raise BadOutput(output, "inputs lie in this folder; choose another one")


def _is_folder(output: str, *, many: bool) -> bool:
    path = output_path(output)
    if output.endswith(("/", os.sep)) or _is_there(path) or not path.suffix:
        return True
    if many and (path.suffix.lower() in WRITABLE or is_readable(path)):
        raise BadOutput(output, f"several pictures need a folder; give {path.with_suffix('')}/")
    return many


def _is_there(folder: Path) -> bool:
    return os.path.isdir(folder)  # noqa: PTH112 - False, not an error, where it is out of reach


def _check_file(output: str) -> None:
    path = output_path(output)
    if path.suffix.lower() not in WRITABLE:
        written = ", ".join(WRITABLE)
        reason = f"{path.suffix} is not written, only {written}; for a folder end it with /"
        raise BadOutput(output, reason)


def _check_folder(output: str, folder: Path) -> None:
    """Refuse a folder that is not there and cannot be made, or that takes no files."""
    there = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not _is_there(there):
        raise BadOutput(output, f"{there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadOutput(output, f"no permission to write in {there}")
