"""What a run has done so far: its curves, thinned, and the pictures of its checkpoints."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from farm import storage
from farm.engine.training.runs import CHECKPOINTS
from farm.errors import BadInput, StorageFailed
from farm.service import wire
from farm.service.roots import Roots

__all__ = ["run_view"]

LOG: Final = "log.jsonl"
POINTS: Final = 1000
"""Most points of a curve."""
LOG_BYTES: Final = 1_000_000_000
MOST_PICTURES: Final = 1000

_PICTURE: Final = re.compile(r"step-(\d{8,})\.[^/]*\.png")


def run_view(folder: str, roots: Roots) -> wire.RunView:
    """Return what the folder of a run tells. Nothing is there before its first step."""
    steps: list[int] = []
    series: dict[str, list[float | None]] = {}
    for count, line in enumerate(_lines(storage.join(folder, LOG))):
        steps.append(int(line["step"]))
        for name in [n for n in line if n not in series and _is_figure(line[n]) and n != "step"]:
            series[name] = [None] * count
        for name, values in series.items():
            values.append(line[name] if _is_figure(line.get(name)) else None)
    return wire.RunView(steps=steps, series=series, pictures=list(_pictures(folder, roots)))


def _is_figure(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf")
    )


def _lines(log: str) -> Iterator[dict[str, Any]]:
    """Yield at most POINTS lines of a log, evenly spaced, the last one included."""
    try:
        path = storage.input_path(log)
        size = path.stat().st_size
    except (OSError, BadInput):
        return
    if size > LOG_BYTES:
        raise StorageFailed(log, f"the log has more than {LOG_BYTES:,} bytes")
    total = _count(path)
    stride = max(1, -(-total // POINTS))
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number % stride == 0 or number == total - 1:
                try:
                    yield json.loads(line)
                except ValueError:
                    return


def _count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(piece.count(b"\n") for piece in iter(lambda: file.read(2**20), b""))


def _pictures(folder: str, roots: Roots) -> Iterator[wire.RunPicture]:
    inner = storage.join(folder, CHECKPOINTS)
    if not storage.is_folder(inner):
        return
    found = [
        (int(match[1]), entry.url)
        for entry in storage.entries(inner)
        if (match := _PICTURE.fullmatch(storage.name(entry.url)))
    ]
    for step, url in sorted(found)[-MOST_PICTURES:]:
        yield wire.RunPicture(step=step, path=roots.shown(url))
