"""Makes the films of a run: how its pictures changed from checkpoint to checkpoint."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from farm.engine.training.runs import CHECKPOINTS

if TYPE_CHECKING:
    from farm.engine.training.contract import TrainingOptions
    from farm.media import Frame

RATE: Final = 12
"""Frames per second."""

_MOST_FRAMES: Final = 20 * RATE
_HELD: Final = 2 * RATE
"""How long the last frame is shown, in frames."""

_GIF_SIDE: Final = 512
"""Longest side of a GIF, in pixels; a GIF of larger pictures would be too large to share."""

SUFFIXES: Final = (".mp4", ".gif")

_PICTURE: Final = re.compile(r"step-(\d{8,})\.(.+)\.png")


def pictures_of(run: Path) -> dict[str, dict[int, Path]]:
    """Return the pictures of a run's checkpoints, by name and step, from the first to the last."""
    found: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    for path in (run / CHECKPOINTS).glob("step-*.png"):
        if match := _PICTURE.fullmatch(path.name):
            found[match[2]][int(match[1])] = path
    return {name: dict(sorted(found[name].items())) for name in sorted(found)}


def write_films(options: "TrainingOptions", record: Mapping[str, object]) -> None:
    """Write the films of a run's pictures as NAME.mp4 and NAME.gif.

    Pictures of checkpoints that were written because the run was stopped are left out, so that time
    passes evenly; so are those of another size than the last one, and some, evenly, if there are too
    many for 20 seconds. A single picture gets no film. record: for `farm show`. Raises BadInput,
    BadOutput and StorageFailed.
    """
    for name, found in pictures_of(options.folder).items():
        regular = [path for step, path in found.items() if step % options.every == 0]
        last = found[max(found)]
        chosen = _evenly(_of_one_size([*(path for path in regular if path != last), last]))
        if len(chosen) > 1:
            for suffix in SUFFIXES:
                _write_film(options.folder / f"{name}{suffix}", chosen, record)


def _of_one_size(paths: Sequence[Path]) -> list[Path]:
    sizes = {}
    for path in paths:
        with Image.open(path) as picture:
            sizes[path] = picture.size
    return [path for path in paths if sizes[path] == sizes[paths[-1]]]


def _evenly(paths: Sequence[Path]) -> list[Path]:
    """Return the first, the last and evenly spaced paths between them, no more than a film shows."""
    count = min(len(paths), _MOST_FRAMES)
    return [paths[round(number)] for number in np.linspace(0, len(paths) - 1, count)]


def _write_film(target: Path, paths: Sequence[Path], record: Mapping[str, object]) -> None:
    from farm.media.film import write_film

    frames = _frames(target, paths)
    write_film(str(target), frames, record, rate=Fraction(RATE), hold=_HELD)


def _frames(target: Path, paths: Sequence[Path]) -> "Iterator[Frame]":
    from farm.media import read_still

    for path in paths:
        frame = read_still(str(path))
        yield replace(frame, pixels=_shrunk(frame.pixels)) if target.suffix == ".gif" else frame


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """Return a picture that is no larger than a GIF of it may be."""
    import cv2

    height, width = pixels.shape[:2]
    scale = _GIF_SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(width * scale)), max(1, round(height * scale))
    shrunk: np.ndarray = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return shrunk
