"""Evaluates the checkpoints of a run: asks the engine for figures, and keeps them in a file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from typing import Any, Final

from farm.cli.progress import progress
from farm.cli.run_checkpoint import Checkpoint
from farm.engine.measures.evaluation import Figures, measure, read_reference
from farm.engine.measures.inception import (
    FID_NEEDS,
    NETWORK,
    SIDE,
    Inception,
    load_inception,
    splits,
)
from farm.engine.measures.neighbours import Nearest
from farm.engine.measures.sheet import sheet
from farm.engine.measures.similarity import scales
from farm.engine.training import read_facts
from farm.engine.training.sampling import draw
from farm.errors import BadInput, WeightsMissing
from farm.media import Frame, write_still
from farm.storage import exists, input_path, join, name, open_whole

FILE: Final = "evaluation.json"

_SAME: Final = ("checkpoint", "data", "pictures", "seed", "inception")
"""Entries of the file that are equal in these are of the same measurement."""

_DIGEST: Final = "sha256 of the pictures"
"""The fact of a run by which it knows the pictures that it was trained on."""

_PAIRS: Final = 32


@dataclass(frozen=True)
class Evaluation:
    """The figures of a checkpoint. entry: as they are kept in the run's file."""

    checkpoint: Checkpoint
    figures: Figures
    nearest: Nearest
    entry: dict[str, Any]

    @property
    def row(self) -> dict[str, object]:
        """The figures as a row of a table, rounded; those that were not measured are left out."""
        figures = self.figures
        inception = {
            "kid": _rounded(figures.kid, 5),
            "fid": _rounded(figures.fid, 2),
            "inception score": _rounded(figures.inception_score, 2),
        }
        return {
            "step": self.checkpoint.step,
            **{name: value for name, value in inception.items() if value is not None},
            **{f"swd {band}": _rounded(swd, 1) for band, swd in figures.wasserstein.items()},
            "ms-ssim": _rounded(figures.similarity, 3),
            "duplicates": f"{figures.duplicates:.1%}",
            "nearest": _rounded(figures.distance, 2),
        }


class Evaluator:
    """Compares checkpoints of one run with its data, which is read once.

    first: one of them, whose pictures have the size of all. inception: a file with its weights.
    Raises UserError.
    """

    def __init__(
        self, first: Checkpoint, data: str, count: int, seed: int, inception: str | None
    ) -> None:
        context = first.run.context
        self._seed, self._data = seed, data
        self._inception, self._missing = _load(inception, str(context.device))
        self._pictures = context.pictures(data)
        trained_on = read_facts(first.path).get(_DIGEST)
        self._is_other = trained_on is not None and trained_on != self._pictures.digest
        sampler = first.sampler()
        height, width = next(draw(sampler, sampler.latents(1, seed))).shape[2:]
        self._size = height, width
        with progress("pictures of the data") as report:
            self._reference = read_reference(
                self._pictures, height, width, count, seed, self._inception, report
            )
        self._is_short = self._reference.count < count

    def evaluate(self, checkpoint: Checkpoint) -> Evaluation:
        """Return the figures of a checkpoint. Raises UserError if it cannot be drawn from."""
        sampler = checkpoint.sampler()
        sha256 = checkpoint.sha256
        latents = sampler.latents(self._reference.count, self._seed)
        figures, nearest = measure(
            draw(sampler, latents), self._reference, self._seed, self._inception
        )
        entry = self._entry(checkpoint, sha256, figures)
        return Evaluation(checkpoint, figures, nearest, entry)

    def write_sheet(self, output: str, evaluation: Evaluation) -> None:
        """Write the samples that are nearest to a picture of the data, each beside it."""
        sampler = evaluation.checkpoint.sampler()
        latents = sampler.latents(self._reference.count, self._seed)
        pixels = sheet(
            sampler, latents, self._pictures, self._reference, evaluation.nearest, _PAIRS
        )
        record = evaluation.checkpoint.record(self._seed, pictures=self._reference.count)
        write_still(output, Frame(pixels), record | {"data": self._data_facts})

    @property
    def data_row(self) -> dict[str, object]:
        """What the same figures are for the pictures of the data."""
        return {
            "step": "data",
            "ms-ssim": _rounded(self._reference.collected.similarity, 3),
            "duplicates": f"{self._reference.duplicates:.1%}",
            "nearest": 1.0,
        }

    @property
    def notes(self) -> list[str]:
        """What one must know about the figures, one line each."""
        count, (height, width) = self._reference.count, self._size
        notes = [
            f"{count} samples were compared with {count} pictures of the data, at {width}x{height}"
        ]
        if self._is_short:
            notes[0] += ", which is all that the data has"
        if self._is_other:
            notes.append(f"{self._data}: is not what the run was trained on")
        if self._reference.unreadable:
            number, example = (
                len(self._reference.unreadable),
                next(iter(self._reference.unreadable.values())),
            )
            notes.append(f"pictures of the data that cannot be read: {number}, such as {example}")
        if self._missing:
            notes.append(f"KID, FID and Inception Score were not measured: {self._missing}")
        elif count < FID_NEEDS:
            notes.append(
                f"the FID of fewer than {FID_NEEDS} pictures is too high; compare the KID instead"
            )
        return notes

    @cached_property
    def _data_facts(self) -> dict[str, object]:
        return {"name": name(self._data), "sha256": self._pictures.digest}

    def _entry(self, checkpoint: Checkpoint, sha256: str, figures: Figures) -> dict[str, Any]:
        height, width = self._size
        return {
            "step": checkpoint.step,
            "checkpoint": sha256,
            "data": self._data_facts,
            "seed": self._seed,
            **asdict(figures),
            "data_similarity": self._reference.collected.similarity,
            "data_duplicates": self._reference.duplicates,
            "size": {"height": height, "width": width},
            "scales": scales(height, width),
            "inception": self._inception_facts(),
            "versions": {
                name: version(name)
                for name in ("neural-render-farm", "torch", "torchmetrics", "torchvision")
            },
        }

    def _inception_facts(self) -> dict[str, object] | str:
        if self._inception is None:
            return f"not measured: {self._missing}"
        return {
            "network": NETWORK,
            "sha256": self._inception.digest,
            "side": SIDE,
            "resize": "bilinear, antialiased",
            "splits": splits(self._reference.count),
        }


def add_to_file(run: str, entry: Mapping[str, Any]) -> None:
    """Add an evaluation to the run's file, in place of an earlier one of the same measurement.

    Entries are sorted by step. Raises BadInput if the file is not one of evaluations, and BadOutput
    or StorageFailed if it cannot be written.
    """
    path = join(run, FILE)
    new = json.loads(json.dumps(entry))
    same = [new[field] for field in _SAME]
    kept = [old for old in _read(path) if [old.get(field) for field in _SAME] != same]
    entries = sorted([*kept, new], key=lambda one: one["step"])
    with open_whole(path) as file:
        file.write(json.dumps({"evaluations": entries}, indent=2).encode() + b"\n")


def _read(path: str) -> list[dict[str, Any]]:
    if not exists(path):
        return []
    try:
        entries = json.loads(input_path(path).read_bytes())["evaluations"]
        assert all(isinstance(entry["step"], int) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise BadInput(path, "is damaged; move it away, and evaluate again") from error
    return list(entries)


def _load(file: str | None, device: str) -> tuple[Inception | None, str]:
    """Return Inception, or None and why its figures are not measured."""
    try:
        return load_inception(file, device), ""
    except WeightsMissing as missing:
        return None, f"{missing.reason}, or give its file with --inception"


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
