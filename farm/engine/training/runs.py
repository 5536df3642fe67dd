"""The folder of a run, on a disk or at a URL: what was trained, and its checkpoints.

Reads names and JSON only: it loads no checkpoint and imports no torch.
"""

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from farm import storage
from farm.errors import BadInput

CHECKPOINTS: Final = "checkpoints"
FACTS: Final = "run.json"
LOG: Final = "log.jsonl"
"""One JSON object per step: its number, losses and figures.

It also has the warning, if that differs from the one of the step before; empty if there is none
any longer. A decision of the supervisor is with the step after which it was taken, or with the first
one after going back.
"""
PAGE: Final = "index.html"
SKIPPED: Final = "skipped.json"
"""Why pictures were skipped, by name; only if some could not be read."""

_CHECKPOINT: Final = re.compile(r"step-(\d{8,})\.safetensors")
_LISTED: Final = 8
_LARGEST: Final = 2**20
"""Bytes of the largest description to read."""
_LARGEST_LIST: Final = 2**28


@dataclass(frozen=True)
class RunFacts:
    """What a run was started with.

    task: its name. params: the task's, as JSON values; one that names a file is the file's name
    without its folder. seed: as the user gave it; None if an earlier version started the run. inputs: their
    names without folders; none if an earlier version started the run.
    """

    task: str
    params: Mapping[str, Any]
    seed: int | None = None
    inputs: tuple[str, ...] = ()


def read_run(run: str | Path) -> RunFacts:
    """Return what a run was started with. Raises BadInput if the folder contains no run."""
    return read_description(run)[0]


def read_description(run: str | Path) -> tuple[RunFacts, dict[str, Any]]:
    """Return what a run was started with, and all that its description says. Raises as read_run."""
    path = storage.join(run, FACTS)
    if storage.is_remote(path) and not storage.is_file(path):
        raise BadInput(str(run), _why_no_run(run))
    try:
        content = json.loads(_text(path))
        params = {name: _with_names(value) for name, value in content["params"].items()}
        seed, inputs = content.get("seed"), tuple(map(str, content.get("inputs", ())))
        seed = None if seed is None else int(seed)
        return RunFacts(str(content["task"]), params, seed, inputs), content
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(str(run), _why_no_run(run)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadInput(str(path), f"does not describe a run ({reason})") from error


def skipped_pictures(run: str | Path) -> dict[str, str]:
    """Return why a run skipped pictures, by name; none if the list is missing or damaged."""
    path = storage.join(run, SKIPPED)
    if not storage.is_file(path):
        return {}
    try:
        content = json.loads(_text(path, _LARGEST_LIST))
        return {str(name): str(reason) for name, reason in content.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def describe_skipped(run: str | Path) -> str:
    """Return how many pictures a run skipped and where they are listed; empty if there are none."""
    count = len(skipped_pictures(run))
    if not count:
        return ""
    which = f"{count} pictures" if count > 1 else "1 picture"
    return f"skipped {which} that cannot be read; see {storage.join(run, SKIPPED)}"


def last_step(run: str | Path) -> dict[str, Any]:
    """Return the last whole line of a run's log: step, losses and figures; empty if there is none."""
    path = storage.join(run, LOG)
    if not storage.is_file(path):
        return {}
    with storage.input_path(path).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LARGEST))
        lines = file.read().splitlines()
    for line in reversed(lines):
        with suppress(ValueError):  # cut short when a process died
            content = json.loads(line)
            if isinstance(content, dict):
                return content
    return {}


def _text(path: str, largest: int = _LARGEST) -> bytes:
    """Return what a file contains. Raises OSError, and ValueError if it is too large."""
    with storage.input_path(path).open("rb") as file:
        text = file.read(largest + 1)
    if len(text) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return text


def _with_names(value: Any) -> Any:
    """Return a parameter in which each file, stored as name and digest, is its name again."""
    if isinstance(value, dict):
        if value.keys() == {"name", "sha256"}:
            return value["name"]
        return {key: _with_names(item) for key, item in value.items()}
    return [_with_names(item) for item in value] if isinstance(value, list) else value


def checkpoints(run: Path) -> dict[int, Path]:
    """Return a run's checkpoints by step, oldest first. run: on a disk."""
    return {step: Path(path) for step, path in located_checkpoints(run).items()}


def located_checkpoints(run: str | Path) -> dict[int, str]:
    """Return where a run's checkpoints are, by step, oldest first."""
    folder, found = storage.join(run, CHECKPOINTS), {}
    for entry in storage.entries(folder):
        if match := _CHECKPOINT.fullmatch(storage.name(entry.url)):
            found[int(match[1])] = entry.url
    return dict(sorted(found.items()))


def checkpoint_path(run: Path, step: int) -> Path:
    """Return where a run's checkpoint after a step is, or will be."""
    return run / CHECKPOINTS / f"step-{step:08}.safetensors"


def step_of(checkpoint: Path) -> int:
    """Return the step of a checkpoint, from its name."""
    match = _CHECKPOINT.fullmatch(checkpoint.name)
    assert match, checkpoint
    return int(match[1])


def find_checkpoint(run: str | Path, step: int | None = None) -> Path:
    """Return a run's checkpoint after a step, or the newest; of a run at a URL, a copy of it.

    Raises BadInput if there is none.
    """
    if not storage.is_folder(run):
        raise BadInput(str(run), _why_no_run(run))
    found = located_checkpoints(run)
    if not found:
        raise BadInput(str(run), "this run has no checkpoint yet; wait until it writes one")
    if step is None:
        return storage.input_path(list(found.values())[-1])
    if step not in found:
        steps = ", ".join(map(str, list(found)[-_LISTED:]))
        more = "..., " if len(found) > _LISTED else ""
        raise BadInput(str(run), f"no checkpoint at step {step}; choose one of {more}{steps}")
    return storage.input_path(found[step])


def _why_no_run(run: str | Path) -> str:
    if not storage.exists(run):
        return "no such folder; give the folder of a run"
    if not storage.is_folder(run):
        return "is a file; give the folder of a run"
    return f"this folder contains no run: it has no {FACTS}"
