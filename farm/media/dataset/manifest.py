"""The description of a prepared dataset: one plain JSON file beside its pictures."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from farm.media.dataset.layout import natural
from farm.media.dataset.near_duplicates import Look, near_duplicates
from farm.model.specs import Part

__all__ = ["JOURNAL", "MANIFEST", "Options", "Outcome", "Target", "describe", "left_out", "to_json"]

MANIFEST: Final = "manifest.json"

JOURNAL: Final = ".farm-prepare.jsonl"
"""What has been done so far, in the folder of a dataset that is not finished."""

_FORMAT: Final = "picture dataset"
_VERSION: Final = 1


@dataclass(frozen=True)
class Options:
    """How pictures are prepared.

    height, width: of every picture, in pixels. fit: squeeze changes the aspect ratio, crop cuts from
    both ends of the longer side, pad adds black borders. format: jpeg or png. quality: of JPEG,
    1 to 100. val: share of each category to hold out, 0 to below 1, chosen by the seed.
    """

    height: int = 256
    width: int = 256
    fit: str = "squeeze"
    format: str = "jpeg"
    quality: int = 95
    val: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Target:
    """Where a picture goes. name: in the dataset, with slashes. category: "" without categories."""

    name: str
    part: Part
    category: str


@dataclass(frozen=True)
class Outcome:
    """A picture that was prepared, or the reason why it could not be read.

    total: the sum of its pixels by channel, 0..255 each. hash: perceptual, 64 bits.
    unreadable: the source and the reason; None if the picture was prepared.
    """

    total: tuple[int, int, int] = (0, 0, 0)
    hash: int = 0
    unreadable: tuple[str, str] | None = None


def describe(outcomes: Mapping[Target, Outcome], options: Options, request: str) -> dict[str, Any]:
    """Return the content of the manifest. request: stands for the sources and the options."""
    done = {target: found for target, found in outcomes.items() if not found.unreadable}
    training = [found for target, found in done.items() if target.part == "train"]
    pixels = options.height * options.width
    mean = _mean([found.total for found in training], pixels)
    looks = {t.name: Look(f.hash, _mean([f.total], pixels)) for t, f in done.items()}
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "options": asdict(options),
        "pictures": {"train": len(training), "val": len(done) - len(training)},
        "categories": _categories(list(done)),
        "mean_rgb": mean,
        "mean_bgr": mean[::-1],
        "near_duplicates": near_duplicates(looks),
        "unreadable": [
            {"source": found.unreadable[0], "reason": found.unreadable[1]}
            for found in outcomes.values()
            if found.unreadable
        ],
        "request": request,
    }


def left_out(dataset: Path) -> dict[str, str]:
    """Return why preparing a dataset left pictures out, by source; none if it is no prepared dataset."""
    try:
        entries = json.loads((dataset / MANIFEST).read_bytes())["unreadable"]
        return {str(entry["source"]): str(entry["reason"]) for entry in entries}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}


def to_json(manifest: Mapping[str, Any]) -> str:
    """Return the manifest as the text of its file."""
    return json.dumps(manifest, indent=2) + "\n"


def _categories(targets: Sequence[Target]) -> list[dict[str, Any]]:
    counts = Counter((target.category, target.part) for target in targets)
    names = natural({target.category for target in targets} - {""})
    return [
        {
            "number": number,
            "name": name,
            "train": counts[name, "train"],
            "val": counts[name, "val"],
        }
        for number, name in enumerate(names)
    ]


def _mean(totals: Sequence[tuple[int, int, int]], pixels: int) -> list[float]:
    """Return the mean of each channel, 0..255, in RGB."""
    count = max(1, len(totals)) * pixels
    return [round(sum(channel) / count, 3) for channel in zip(*totals, strict=True)]
