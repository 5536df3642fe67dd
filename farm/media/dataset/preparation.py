"""Prepares a dataset: every picture upright, in RGB and of one size, in a folder per category.

Can be stopped at any moment, even killed: prepared again with the same sources and options, it goes
on, and the dataset equals an undisturbed one byte for byte.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from farm.errors import BadInput, BadOutput
from farm.media.bounds import decoding_errors
from farm.media.dataset.fitting import encode, fit
from farm.media.dataset.journal import Journal, open_journal
from farm.media.dataset.manifest import (
    JOURNAL,
    MANIFEST,
    Options,
    Outcome,
    Target,
    describe,
    to_json,
)
from farm.media.dataset.near_duplicates import perceptual_hash
from farm.media.dataset.originals import Original, find_originals
from farm.media.dataset.picture_decoder import decode
from farm.media.dataset.planning import plan
from farm.media.dataset.remote_preparation import prepare_at_url
from farm.media.still_formats import MAX_PIXELS
from farm.storage import is_remote, open_whole, output_path, remove_file, remove_leftovers

__all__ = ["prepare"]

_THREADS: Final = 4
_AT_ONCE: Final = 256
"""Pictures that are handed to the threads at a time."""


def prepare(
    sources: Sequence[str],
    dataset: str,
    options: Options,
    report: Callable[[int, int], None] = lambda _done, _count: None,
) -> dict[str, Any]:
    """Write a dataset, or finish it, and return its manifest.

    dataset: path or URL of its folder. sources: paths or URLs of folders of pictures, folders of categories, either in train/ and val/, zips of any of
    these, or lists of "PATH LABEL". report: receives how many pictures are done, and their number.

    Writes DATASET/PART/CATEGORY/NAME.jpg, or DATASET/PART/NAME.jpg without categories, and at the
    end manifest.json. Pictures that cannot be read are left out, and listed in it.

    Raises BadInput for a source that cannot be used, or if no picture can be read; BadOutput if the
    folder contains anything else, is in a source, or is being written; StorageFailed.
    """
    if is_remote(dataset):
        prepare_in = partial(_prepare_in, sources, options)
        return prepare_at_url(sources, dataset, prepare_in, report)
    folder = output_path(dataset)
    _check_outside(folder, sources)
    return _prepare_in(sources, options, folder, report)


def _prepare_in(
    sources: Sequence[str], options: Options, folder: Path, report: Callable[[int, int], None]
) -> dict[str, Any]:
    targets = plan(find_originals(sources), options)
    if all(target.part == "val" for target in targets):
        raise BadInput(sources[0], "contains no pictures to train on, only some to hold out")
    request = _digest(targets, options)
    if (finished := _finished(folder)) is not None:
        if finished.get("request") != request:
            reason = "it is a dataset of other pictures or options"
            raise BadOutput(str(folder), f"{reason}; delete it, or choose another folder with -o")
        remove_file(folder / JOURNAL)
        return finished
    with open_journal(folder, request) as journal:
        for parent in {(folder / target.name).parent for target in targets}:
            remove_leftovers(parent)
        _prepare_all(folder, targets, options, journal, report)
        outcomes = {target: journal.done[target.name] for target in targets}
        _check_any(folder, outcomes)
        manifest = describe(outcomes, options, request)
        with open_whole(folder / MANIFEST) as file:
            file.write(to_json(manifest).encode())
        remove_file(folder / JOURNAL)
    return manifest


def _check_outside(folder: Path, sources: Iterable[str]) -> None:
    for source in sources:
        if folder.resolve().is_relative_to(Path(source).resolve()):
            raise BadOutput(str(folder), f"it is in the source {source}; choose another with -o")


def _finished(folder: Path) -> dict[str, Any] | None:
    """Return the manifest in a folder; None if the folder is new or is not finished.

    Raises BadOutput if it contains anything else.
    """
    if folder.exists() and not folder.is_dir():
        raise BadOutput(str(folder), "it is a file; choose a new folder with -o")
    if (folder / MANIFEST).is_file():
        try:
            manifest: dict[str, Any] = dict(json.loads((folder / MANIFEST).read_text()))
        except ValueError as error:
            reason = f"its {MANIFEST} is not one of farm prepare"
            raise BadOutput(str(folder), f"{reason}; choose a new folder with -o") from error
        return manifest
    if folder.is_dir() and not (folder / JOURNAL).exists() and any(folder.iterdir()):
        raise BadOutput(str(folder), "it contains other files; choose a new folder with -o")
    return None


def _digest(targets: Mapping[Target, Original], options: Options) -> str:
    """Return what stands for the pictures and the options."""
    pictures = [(target.name, original.stamp) for target, original in targets.items()]
    return hashlib.sha256(json.dumps([asdict(options), pictures]).encode()).hexdigest()


def _prepare_all(
    folder: Path,
    targets: Mapping[Target, Original],
    options: Options,
    journal: Journal,
    report: Callable[[int, int], None],
) -> None:
    def one(target: Target) -> None:
        journal.add(target.name, _prepare_one(folder / target.name, targets[target], options))

    waiting = iter([target for target in targets if target.name not in journal.done])
    pool = ThreadPoolExecutor(_THREADS, "farm-prepare")
    try:
        report(len(journal.done), len(targets))
        while some := list(islice(waiting, _AT_ONCE)):
            for _ in pool.map(one, some):
                report(len(journal.done), len(targets))
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_one(path: Path, original: Original, options: Options) -> Outcome:
    try:
        with decoding_errors(original.source, MAX_PIXELS):
            levels = decode(original.source, original.content())
    except BadInput as error:
        return Outcome(unreadable=(error.source, error.reason))
    image = fit(levels, options)
    with open_whole(path) as file:
        file.write(encode(image, options))
    red, green, blue = np.asarray(image).sum((0, 1), dtype=np.int64).tolist()
    return Outcome((red, green, blue), perceptual_hash(image))


def _check_any(folder: Path, outcomes: Mapping[Target, Outcome]) -> None:
    """Raise BadInput if no picture to train on could be read."""
    training = [found for target, found in outcomes.items() if target.part == "train"]
    faults = [found.unreadable for found in training if found.unreadable]
    if len(faults) < len(training):
        return
    remove_file(folder / JOURNAL)
    source, reason = faults[0]
    others = f"; nor can any of the other {len(faults) - 1} pictures be read"
    raise BadInput(source, reason + (others if len(faults) > 1 else ""))
