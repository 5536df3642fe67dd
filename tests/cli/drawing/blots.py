"""Runs for the tests of sample and evaluate: one that draws blots, and one that draws nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

from farm import Context, Field, FilePath, Run, Sampler, Task, TaskParams, hookimpl

if TYPE_CHECKING:
    from torch import Tensor, nn


SIDE, LATENT, BATCH = 32, 4, 4


def make_generator() -> "nn.Module":
    """Return a network that draws smooth blots before it has learned anything."""
    from torch import nn

    from farm.engine.training import seeded

    with seeded(1):
        return nn.Sequential(
            nn.Linear(LATENT, 48),
            nn.Unflatten(1, (3, 4, 4)),
            nn.Upsample(scale_factor=SIDE // 4, mode="bilinear"),
        )


class BlotSampler:
    """Draws blots from uniform latents."""

    def __init__(self, generator: "nn.Module") -> None:
        self._generator = generator.eval()

    def latents(self, count: int, seed: int) -> "Tensor":
        import torch

        return torch.rand(count, LATENT, generator=torch.Generator().manual_seed(seed)) * 8 - 4

    def mix(self, first: "Tensor", second: "Tensor", share: float) -> "Tensor":
        return first.lerp(second, share)

    def draw(self, latents: "Tensor") -> "Tensor":
        drawn: Tensor = self._generator(latents)
        return drawn.sigmoid()


class Blots(Run):
    """Learns to draw all blots grey."""

    name = "blots"
    result = "blots.txt"

    class Params(TaskParams):
        steps: int = Field(4, description="Steps.")
        rate: float = Field(0.5, description="Learning rate.")
        palettes: tuple[FilePath, ...] = Field((), description="Files, which nothing reads.")

    params: Params

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        import torch

        from farm.engine.training import StepResult, TrainingOptions, TrainState, optimizer_step

        generator = make_generator()
        optimizer = torch.optim.Adam(generator.parameters(), self.params.rate)
        state = TrainState({"generator": generator}, {"generator": optimizer}, context.seed)

        def step(state: TrainState, rows: range) -> StepResult:
            latents = BlotSampler(generator).latents(BATCH, state.step)[rows.start : rows.stop]
            loss = generator(latents).square().mean((1, 2, 3)).sum() / BATCH
            optimizer_step(optimizer, loss, self.params.rate, context.world)
            return StepResult({"loss": loss})

        context.train(state, step, TrainingOptions(folder, self.params.steps, BATCH, every=1))
        if context.world.rank == 0:
            (folder / self.result).write_text(state.digest())

    def sampler(self, checkpoint: Path, context: Context) -> Sampler:
        from farm.engine.training import load_modules

        generator = make_generator()
        load_modules(checkpoint, {"generator": generator})
        return BlotSampler(generator)


class Silent(Run):
    """Draws nothing."""

    name = "silent"
    result = "silent.txt"

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        (folder / self.result).touch()


@hookimpl
def farm_tasks() -> list[type[Task]]:
    return [Blots, Silent]
