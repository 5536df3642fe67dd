"""Training runs: the loop, its checkpoints, and what a run and the loop exchange.

These are the names for authors of runs; they call ``context.train``, which calls the loop.
"""

from farm.engine.training.checkpoint import TrainState, load_modules, read_facts
from farm.engine.training.collapse import CollapseDetector
from farm.engine.training.contract import (
    Detector,
    Observation,
    Step,
    StepResult,
    TrainingOptions,
)
from farm.engine.training.feed import Batch, Feed
from farm.engine.training.optimizing import optimizer_step
from farm.engine.training.rates import Decision, Schedule, Supervisor
from farm.engine.training.rows import row_generator, seeded, shuffled_index
from farm.engine.training.run_log import write_picture, write_whole
from farm.engine.training.squares import fractions, square

__all__ = [
    "Batch",
    "CollapseDetector",
    "Decision",
    "Detector",
    "Feed",
    "Observation",
    "Schedule",
    "Step",
    "StepResult",
    "Supervisor",
    "TrainState",
    "TrainingOptions",
    "fractions",
    "load_modules",
    "optimizer_step",
    "read_facts",
    "row_generator",
    "seeded",
    "shuffled_index",
    "square",
    "write_picture",
    "write_whole",
]
