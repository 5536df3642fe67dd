"""The loop that every run goes through, on one device or on many, and can be taken up again.

One step is a function of the state, the step's number and the rows of the batch; all it draws
comes from draw and shuffled, which are functions of seed, step and row. So a run that was stopped
and gone on with is, bit for bit, the run that was not (on a CPU, with as many threads and workers).
The batch is that of all workers together: its rows are dealt to them, and slopes are added up.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
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
from farm.errors import BadInput, Cancelled
from farm.storage import open_whole, remove_file, remove_leftovers

CHECKPOINTS: Final = "checkpoints"
LOG: Final = "log.jsonl"


@dataclass(frozen=True)
class Schedule:
    """How the rate changes: up in warm_up steps, then down a cosine to its last share."""

    steps: int
    warm_up: int = 50
    last: float = 0.05

    def share(self, step: int) -> float:
        """Return what part of the rate a step takes, 0..1; steps count from 0."""
        falling = 0.5 + 0.5 * cos(pi * min(1, step / self.steps))
        return min(1, (step + 1) / self.warm_up) * (self.last + (1 - self.last) * falling)


@dataclass(frozen=True)
class StepResult:
    """What a step made of this worker's rows.

    losses: sums over the rows, divided by the whole batch, so that workers' add up.
    pictures: what came out, [rows, 3, height, width].
    """

    losses: Mapping[str, Tensor]
    pictures: Float[Tensor, "rows 3 height width"]


Step = Callable[[TrainState, range], StepResult]
"""Takes one step of the state, whose number is state.step, on these rows of the batch."""


@dataclass(frozen=True)
class TrainingOptions:
    """How far a run goes and what it leaves on the way.

    every: steps from one checkpoint to the next. kept: how many of them stay.
    """

    folder: Path
    steps: int
    batch: int
    every: int = 100
    kept: int = 3


def generator(seed: int, step: int, row: int, use: str = "") -> torch.Generator:
    """Return the generator of one row of one step, on the CPU. use: tells several draws apart."""
    digest = hashlib.sha256(f"{seed}/{step}/{row}/{use}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def shuffled(seed: int, count: int, number: int) -> int:
    """Return which of count samples comes as number: each once, then each once in another order."""
    around, place = divmod(number, count)
    return int(_order(seed, count, around)[place])


@lru_cache(4)
def _order(seed: int, count: int, around: int) -> np.ndarray:
    return torch.randperm(count, generator=generator(seed, around, 0, "order")).numpy()


def descend(optimizer: Optimizer, loss: Float[Tensor, ""], rate: float, world: World) -> None:
    """Take the optimiser's step down a loss, on slopes summed over all workers.

    rate: of this step. No parameter of another optimiser gets a slope.
    """
    parameters = []
    for group in optimizer.param_groups:
        group["lr"] = rate
        parameters += group["params"]
    slopes = torch.autograd.grad(loss, parameters)
    together = torch.cat([slope.flatten() for slope in slopes])
    world.all_reduce(together)
    parts = torch.split(together, [p.numel() for p in parameters])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)
    optimizer.step()
    optimizer.zero_grad()


def train(
    state: TrainState,
    step: Step,
    course: TrainingOptions,
    *,
    world: World = ALONE,
    guard: CollapseDetector | None = None,
    report: Callable[[float, str], None] = lambda _done, _note: None,
    show: Callable[[], Float[Tensor, "1 3 height width"]] | None = None,
) -> None:
    """Go on with the run in the course's folder, or begin it, up to its last step.

    tell: hears the fraction done and a note; raises Cancelled to stop, after a checkpoint.
    show: paints the same pictures at each checkpoint, RGB in 0..1.

    Leaves checkpoints/step-N.safetensors and .png, and log.jsonl with a line for each step.
    Raises BadInput where the folder holds a run of another kind, UserError where training has
    collapsed: see Guard.
    """
    book = _RunLog(course, world, show)
    book.take_up(state)
    with book:
        while state.step < course.steps:
            made = step(state, world.rows(course.batch))
            state.step += 1
            book.write(state.step, *_sum_up(made, course.batch, state.step, world, guard))
            if state.step % course.every == 0 or state.step == course.steps:
                book.keep(state)
            try:
                report(state.step / course.steps, book.note)
            except Cancelled:
                book.keep(state)
                raise


def _sum_up(
    made: StepResult, batch: int, step: int, world: World, guard: CollapseDetector | None
) -> tuple[dict[str, float], dict[str, float], str]:
    """Return losses, the guard's figures and its complaint, the same on every worker."""
    found = [torch.stack([loss.detach().double() for loss in made.losses.values()])]
    if guard:
        found.append(guard.measure(made.pictures).double().sum(0).to(found[0].device) / batch)
    together = torch.cat(found)
    world.all_reduce(together)
    losses = dict(zip(made.losses, together.tolist(), strict=False))
    if guard is None:
        return losses, {}, ""
    return losses, *guard.judge(step, losses, together[len(losses) :])


class _RunLog:
    """What a run leaves in its folder; only the first worker writes."""

    def __init__(
        self, course: TrainingOptions, world: World, show: Callable[[], Tensor] | None
    ) -> None:
        self._course, self._show = course, show
        self._writes = world.rank == 0
        self._folder = course.folder / CHECKPOINTS
        self._log = course.folder / LOG
        self.note = ""

    def __enter__(self) -> None:
        if self._writes:
            self._file = self._log.open("a")

    def __exit__(self, *_: object) -> None:
        if self._writes:
            self._file.close()

    def take_up(self, state: TrainState) -> None:
        """Load the newest checkpoint that is whole; cut the log to it.

        Raises BadInput where there are checkpoints and none of them can be gone on with.
        """
        reason: BadInput | None = None
        for path in reversed(checkpoints(self._course.folder)):
            try:
                state.load(path)
            except BadInput as error:
                reason = reason or error
            else:
                reason = None
                break
        if reason:
            raise reason
        if self._writes:
            self._folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._folder)
            lines = self._log.read_text().splitlines() if self._log.is_file() else []
            kept = [line for line in lines if _step_of(line) <= state.step]
            with open_whole(self._log) as file:
                file.write("".join(f"{line}\n" for line in kept).encode())

    def write(
        self, step: int, losses: Mapping[str, float], figures: Mapping[str, float], fault: str
    ) -> None:
        """Add a step to the log, at once."""
        loss = ", ".join(f"{name} {value:.4g}" for name, value in losses.items())
        self.note = f"step {step}: {loss}" + (f"; beware: {fault}" if fault else "")
        if self._writes:
            line: dict[str, Any] = {"step": step, **losses, **figures}
            if fault:
                line["warning"] = fault
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def keep(self, state: TrainState) -> None:
        """Write a checkpoint and its picture, and remove the oldest."""
        if not self._writes:
            return
        path = self._folder / f"step-{state.step:08}.safetensors"
        if self._show:
            write_picture(path.with_suffix(".png"), self._show())
        state.save(path)
        for old in checkpoints(self._course.folder)[: -self._course.kept]:
            remove_file(old)


def checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run's folder, oldest first."""
    return sorted((folder / CHECKPOINTS).glob("step-*.safetensors"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    with open_whole(path) as file:
        file.write(content)


def write_picture(path: Path, picture: Float[Tensor, "1 3 height width"]) -> None:
    """Write RGB in 0..1 as a PNG, whole or not at all."""
    values = picture[0].detach().float().clamp(0, 1).mul(255).round().byte()
    with open_whole(path) as file:
        Image.fromarray(values.permute(1, 2, 0).cpu().numpy()).save(file, "png")


def _step_of(line: str) -> float:
    """Return a log line's step; a line that a killed process left half-written has none."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
