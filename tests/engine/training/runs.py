"""A training run of a tiny network, for the tests of the loop and of its checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from farm.engine.training import (
    Schedule,
    StepResult,
    TrainingOptions,
    TrainState,
    optimizer_step,
    row_generator,
)
from farm.engine.training.loop import train
from farm.engine.world import ALONE, World

STEPS, BATCH = 20, 4


def make_state(**facts: str) -> TrainState:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1), nn.Sigmoid())
    return TrainState({"net": net}, {"net": torch.optim.Adam(net.parameters())}, 5, facts)


def make_step(
    world: World = ALONE, rate: float = 0.01
) -> Callable[[TrainState, range], StepResult]:
    """Return a step that learns to mirror noise."""
    schedule = Schedule(STEPS, warm_up=4)

    def step(state: TrainState, rows: range) -> StepResult:
        draws = [
            torch.rand(3, 8, 8, generator=row_generator(state.seed, state.step, row))
            for row in rows
        ]
        noise = torch.stack(draws)
        output = state.modules["net"](noise)
        loss = (output - noise.flip(3)).square().mean((1, 2, 3)).sum() / BATCH
        optimizer_step(state.optimizers["net"], loss, rate * schedule.share(state.step), world)
        return StepResult({"loss": loss}, output)

    return step


def run(folder: Path, steps: int, **options: Any) -> TrainState:
    """Train up to this step in the folder; return the final state."""
    state = make_state()
    train(state, make_step(), TrainingOptions(folder, steps, BATCH, every=5), **options)
    return state
