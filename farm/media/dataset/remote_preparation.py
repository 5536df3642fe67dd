"""Prepares a dataset at a URL, in a folder of this machine that is written there."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from farm.errors import BadOutput
from farm.media.dataset.manifest import JOURNAL, MANIFEST
from farm.storage import Mirror, absolute, check_output, join, name, parents, scratch_folder

__all__ = ["prepare_at_url"]

Report = Callable[[int, int], None]

_ORDER: Final = {JOURNAL: 1, MANIFEST: 2}
"""Order of writing: the journal after the pictures that it calls done, the manifest at the end."""


def prepare_at_url(
    sources: Iterable[str],
    dataset: str,
    prepare: Callable[[Path, Report], dict[str, Any]],
    report: Report,
) -> dict[str, Any]:
    """Prepare a dataset at a URL, or finish it, and return its manifest.

    prepare: writes it into a folder on a disk. What is done is written to the URL at the end, also
    if the preparation is interrupted, but not if its process is killed. Raises what prepare raises.
    """
    _check_outside(dataset, sources)
    check_output(join(dataset, MANIFEST))
    with scratch_folder(name(dataset)) as folder:
        mirror = Mirror(dataset, folder)
        mirror.pull()
        pushed = False

        def push_and_report(done: int, count: int) -> None:
            nonlocal pushed
            if not pushed:  # a journal, without which a folder of pictures is taken for another one
                _push(mirror)
                pushed = True
            report(done, count)

        try:
            return prepare(folder, push_and_report)
        except BadOutput as error:
            raise BadOutput(dataset, error.reason) from error
        finally:
            _push(mirror)


def _push(mirror: Mirror) -> None:
    mirror.push(lambda file: _ORDER.get(file, 0))


def _check_outside(dataset: str, sources: Iterable[str]) -> None:
    around = {absolute(dataset), *parents(dataset)}
    for source in sources:
        if absolute(source) in around:
            raise BadOutput(dataset, f"it is in the source {source}; choose another with -o")
