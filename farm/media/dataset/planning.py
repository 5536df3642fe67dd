"""Decides where each picture of a dataset goes. Touches no files."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from math import floor
from pathlib import PurePosixPath

from farm.errors import UserError
from farm.media.dataset.manifest import Options, Target
from farm.media.dataset.originals import Original
from farm.model.specs import Part

__all__ = ["plan"]


def plan(originals: Sequence[Original], options: Options) -> dict[Target, Original]:
    """Return the pictures by their place in the dataset, in the order given.

    Every picture keeps its own name where that is free, whatever a disk makes of capitals.
    Raises UserError if pictures should be held out of sources that have held some out already.
    """
    if options.val and any(original.is_divided for original in originals):
        raise UserError("the sources have pictures to hold out already; leave out --val")
    held = _held_out(originals, options)
    taken: set[str] = set()
    targets: dict[Target, Original] = {}
    for number, original in enumerate(originals):
        part: Part = "val" if number in held else original.part
        folder = "/".join(filter(None, (part, original.category)))
        name = _free_name(f"{folder}/{_stem(original.source)}", taken)
        taken.add(name.casefold())
        suffix = {"jpeg": ".jpg", "png": ".png"}[options.format]
        targets[Target(name + suffix, part, original.category)] = original
    return targets


def _held_out(originals: Sequence[Original], options: Options) -> set[int]:
    """Return the numbers of the pictures to hold out: a share of each category, never all of it."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for number, original in enumerate(originals):
        members[original.category].append(number)
    held: set[int] = set()
    for numbers in members.values():
        count = min(floor(options.val * len(numbers) + 0.5), len(numbers) - 1)
        held |= {*sorted(numbers, key=lambda n: _draw(options.seed, n, originals[n]))[:count]}
    return held


def _draw(seed: int, number: int, original: Original) -> tuple[str, int]:
    text = f"{seed}/{original.category}/{original.source}"
    return hashlib.sha256(text.encode()).hexdigest(), number


def _stem(source: str) -> str:
    return PurePosixPath(source).stem.lstrip(".") or "picture"


def _free_name(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free.casefold() in taken:
        number, free = number + 1, f"{name}-{number}"
    return free
