"""The training loop, on one worker or several, which can resume from its checkpoints.

A step is a function of the state, the step's number and the rows of the batch; its random numbers
come from row_generator and shuffled_index, which are functions of seed, step and row. So a run
that was stopped and resumed equals an uninterrupted one bit for bit (on a CPU, with the same
number of threads and workers). Workers share the rows of each batch and add up their gradients.
The first worker chooses the checkpoint, and the others refuse to start from any other state.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.optim import Optimizer

from farm.engine.training.checkpoint import TrainState
from farm.engine.training.collapse import CollapseDetector
from farm.engine.world import ALONE, World
from farm.errors import BadInput, Cancelled, StorageFailed, UserError
from farm.storage import open_whole, remove_file, remove_leftovers, write_error

CHECKPOINTS: Final = "checkpoints"
LOG: Final = "log.jsonl"

Picture = Float[Tensor, "1 3 height width"]


@dataclass(frozen=True)
class Schedule:
    """A learning rate that rises for warm_up steps, then falls along a cosine to `last`."""

    steps: int
    warm_up: int = 50
    last: float = 0.05

    def share(self, step: int) -> float:
        """Return a step's fraction of the peak rate, 0..1; steps count from 0."""
        cosine = 0.5 + 0.5 * cos(pi * min(1, step / self.steps))
        return min(1, (step + 1) / self.warm_up) * (self.last + (1 - self.last) * cosine)


@dataclass(frozen=True)
class StepResult:
    """The result of a step on this worker's rows.

    losses: summed over the rows and divided by the whole batch, so that workers' losses add up.
    pictures: the network's output, [rows, 3, height, width].
    """

    losses: Mapping[str, Tensor]
    pictures: Float[Tensor, "rows 3 height width"]


Step = Callable[[TrainState, range], StepResult]
"""Performs step number state.step on these rows of the batch."""


@dataclass(frozen=True)
class TrainingOptions:
    """The length of a run, and its checkpoints.

    every: steps between checkpoints. kept: number of checkpoints to keep.
    """

    folder: Path
    steps: int
    batch: int
    every: int = 100
    kept: int = 3


def row_generator(seed: int, step: int, row: int, use: str = "") -> torch.Generator:
    """Return the CPU generator of one row of one step. use: distinguishes several per row."""
    digest = hashlib.sha256(f"{seed}/{step}/{row}/{use}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def shuffled_index(seed: int, count: int, number: int) -> int:
    """Return which of count samples is drawn as number; every epoch has an order of its own."""
    epoch, position = divmod(number, count)
    return int(_order(seed, count, epoch)[position])


@lru_cache(4)
def _order(seed: int, count: int, epoch: int) -> np.ndarray:
    return torch.randperm(count, generator=row_generator(seed, epoch, 0, "order")).numpy()


def optimizer_step(
    optimizer: Optimizer, loss: Float[Tensor, ""], rate: float, world: World
) -> None:
    """Take one optimiser step at this rate, on gradients summed over all workers.

    Parameters of other optimisers get no gradient.
    """
    parameters = []
    for group in optimizer.param_groups:
        group["lr"] = rate
        parameters += group["params"]
    gradients = torch.autograd.grad(loss, parameters)
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    world.all_reduce(flat)
    parts = torch.split(flat, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    optimizer.step()
    optimizer.zero_grad()


def train(
    state: TrainState,
    step: Step,
    options: TrainingOptions,
    *,
    world: World = ALONE,
    detector: CollapseDetector | None = None,
    report: Callable[[float, str], None] = lambda _done, _note: None,
    show: Callable[[], Picture] | None = None,
) -> None:
    """Start the run in the folder, or resume it from its last checkpoint, and finish it.

    report: called after each step with the fraction done and a note; raises Cancelled to stop
    the run, which then writes a checkpoint. show: renders the same picture at each checkpoint,
    RGB in 0..1.

    Writes checkpoints/step-N.safetensors and .png, and one line per step to log.jsonl.
    Raises BadInput if the folder contains a different run, UserError if training collapses, and
    StorageFailed if a worker cannot read the checkpoint that the first one resumes from.
    """
    log = _RunLog(options, world, show)
    log.resume(state)
    with log:
        while state.step < options.steps:
            result = step(state, world.rows(options.batch))
            state.step += 1
            log.write(state.step, *_sum_up(result, options.batch, state.step, world, detector))
            if state.step % options.every == 0 or state.step == options.steps:
                log.save_checkpoint(state)
            try:
                report(state.step / options.steps, log.note)
            except Cancelled:
                log.save_checkpoint(state)
                raise


def _sum_up(
    result: StepResult, batch: int, step: int, world: World, detector: CollapseDetector | None
) -> tuple[dict[str, float], dict[str, float], str]:
    """Return losses, the detector's figures and fault, the same on every worker."""
    values = [torch.stack([loss.detach().double() for loss in result.losses.values()])]
    if detector:
        measured = detector.measure(result.pictures).double().sum(0)
        values.append(measured.to(values[0].device) / batch)
    flat = torch.cat(values)
    world.all_reduce(flat)
    losses = dict(zip(result.losses, flat.tolist(), strict=False))
    if detector is None:
        return losses, {}, ""
    return losses, *detector.check(step, losses, flat[len(losses) :])


class _RunLog:
    """The log and checkpoints in a run's folder; only the first worker writes them."""

    def __init__(
        self, options: TrainingOptions, world: World, show: Callable[[], Picture] | None
    ) -> None:
        self._options, self._world, self._show = options, world, show
        self._writes = world.rank == 0
        self._folder = options.folder / CHECKPOINTS
        self._log = options.folder / LOG
        self._fallback = ""
        self._is_fallback_logged = False
        self.note = ""

    def __enter__(self) -> None:
        if self._writes:
            with _write_errors(self._log):
                self._file = self._log.open("a")

    def __exit__(self, *_: object) -> None:
        if self._writes:
            with _write_errors(self._log):  # closing writes again what could not be written
                self._file.close()

    def resume(self, state: TrainState) -> None:
        """Load the newest valid checkpoint, and remove later lines from the log.

        Every worker loads the one that the first worker chooses. Raises BadInput if there are
        checkpoints but none can be loaded.
        """
        name = self._load_newest(state) if self._world.rank == 0 else ""
        name, digest = json.loads(self._world.broadcast_text(json.dumps((name, state.digest()))))
        if self._world.rank != 0:
            self._load_same(state, name, digest)
        if self._writes:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._folder)
            lines = self._log.read_text().splitlines() if self._log.is_file() else []
            kept = [line for line in lines if _step_of(line) <= state.step]
            write_whole(self._log, "".join(f"{line}\n" for line in kept).encode())

    def _load_newest(self, state: TrainState) -> str:
        """Load the newest valid checkpoint; return its name, empty if there are no checkpoints."""
        errors: list[BadInput] = []
        for path in reversed(checkpoints(self._options.folder)):
            try:
                state.load(path)
            except BadInput as error:
                errors.append(error)
            else:
                if errors:
                    refused = Path(errors[0].source).name
                    self._fallback = (
                        f"checkpoint {refused} {errors[0].reason.partition(';')[0]}; "
                        f"resumed from step {state.step}"
                    )
                return path.name
        if errors:
            raise errors[0]
        return ""

    def _load_same(self, state: TrainState, name: str, digest: str) -> None:
        """Load the first worker's checkpoint. Raises StorageFailed unless the state is the same."""
        worker, path = f"worker {self._world.rank + 1} of {self._world.size}", self._folder / name
        try:
            if name:
                state.load(path)
        except BadInput as error:
            raise StorageFailed(
                str(path), f"worker 1 resumes from it, but {worker} finds that it {error.reason}"
            ) from error
        if state.digest() == digest:
            return
        if not name:
            raise UserError(
                f"{worker} starts from another state than worker 1; a run must draw its first "
                "weights from the seed alone"
            )
        raise StorageFailed(
            str(path),
            f"worker 1 resumes from it, but {worker} reads another file under this name; keep the "
            "run's folder on a disk that all nodes share",
        )

    def write(
        self, step: int, losses: Mapping[str, float], figures: Mapping[str, float], fault: str
    ) -> None:
        """Append a step to the log and flush it."""
        loss = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        warnings = [text for text in (fault, self._fallback) if text]
        self.note = "; warning: ".join((f"step {step}: {loss}", *warnings))
        if self._writes:
            line: dict[str, Any] = {"step": step, **losses, **figures}
            logged = [fault, "" if self._is_fallback_logged else self._fallback]
            if warning := "; ".join(filter(None, logged)):
                line["warning"] = warning
            self._is_fallback_logged = True
            with _write_errors(self._log):
                self._file.write(json.dumps(line) + "\n")
                self._file.flush()

    def save_checkpoint(self, state: TrainState) -> None:
        """Write a checkpoint and its picture, and remove the oldest ones."""
        if not self._writes:
            return
        path = self._folder / f"step-{state.step:08}.safetensors"
        if self._show:
            write_picture(path.with_suffix(".png"), self._show())
        state.save(path)
        for old in checkpoints(self._options.folder)[: -self._options.kept]:
            remove_file(old)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a run's folder, oldest first."""
    return sorted((folder / CHECKPOINTS).glob("step-*.safetensors"))


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system while a path is written into farm errors."""
    try:
        yield
    except OSError as error:
        raise write_error(str(path), error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with open_whole(path) as file:
        file.write(content)


def write_picture(path: Path, picture: Picture) -> None:
    """Write RGB in 0..1 as a PNG, atomically."""
    values = picture[0].detach().float().clamp(0, 1).mul(255).round().byte()
    with open_whole(path) as file:
        Image.fromarray(values.permute(1, 2, 0).cpu().numpy()).save(file, "png")


def _step_of(line: str) -> float:
    """Return a log line's step; infinity for a line that was cut short when a process died."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
