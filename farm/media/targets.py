"""Where a rendered picture goes, and whether it may, asked before any work."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from farm.errors import BadOutput
from farm.media.blank import is_blank
from farm.media.formats import WRITABLE, is_readable
from farm.media.inputs import Source
from farm.storage import output_path

__all__ = ["check_output", "target_for"]

_DEFAULT_SUFFIX: Final = ".png"


def target_for(source: Source, output: str, many: bool) -> str:  # noqa: FBT001 - one rule for both
    """Return the path that a source's rendering is written to.

    output: a file, or a folder: one that is there, ends in a slash, has no suffix, or takes many.
    many: the job has several pictures. In a folder the picture keeps its name, and its suffix
    where that is written.

    Raises BadOutput for many pictures into one file.
    """
    if not _is_folder(output, many=many):
        return output
    origin = Path("" if is_blank(source.url) else source.url)
    kept = origin.suffix if origin.suffix.lower() in WRITABLE else _DEFAULT_SUFFIX
    is_complete = source.name == origin.name and kept == origin.suffix
    return str(output_path(output) / (source.name if is_complete else source.name + kept))


def check_output(output: str, sources: Sequence[Source]) -> None:
    """Refuse an output that cannot be written, or would replace an input.

    Looks, and changes nothing. Raises BadOutput.
    """
    many = len(sources) > 1
    inputs = {os.path.realpath(source.url) for source in sources if not is_blank(source.url)}
    for source in sources:
        target = target_for(source, output, many)
        if os.path.realpath(target) in inputs:
            raise BadOutput(target, "this is an input; choose another place")
    path = output_path(output)
    if _is_folder(output, many=many):
        _check_folder(output, path)
    else:
        _check_file(output)
        _check_folder(output, path.parent)


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
