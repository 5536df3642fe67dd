"""Training runs: the loop, its checkpoints, and what a run and the loop exchange.

These are the names for authors of runs; they call ``context.train``, which calls the loop.
"""

from farm.engine.training.average import update_average
from farm.engine.training.batch_norm import BatchNorm2d, frozen_running_statistics
from farm.engine.training.checkpoint import TrainState, load_modules, read_facts
from farm.engine.training.collapse import CollapseDetector, DiversityDetector, spread_of
from farm.engine.training.contract import (
    Detector,
    Observation,
    Step,
    StepResult,
    TrainingOptions,
)
from farm.engine.training.feed import Batch, Feed, notes_on_few
from farm.engine.training.optimizing import optimizer_step
from farm.engine.training.rates import Decision, Schedule, Supervisor
from farm.engine.training.rows import row_generator, seeded, shuffled_index
from farm.engine.training.run_log import write_picture, write_whole
from farm.engine.training.squares import fractions, square

__all__ = [
    "Batch",
    "BatchNorm2d",
    "CollapseDetector",
    "Decision",
    "Detector",
    "DiversityDetector",
    "Feed",
    "Observation",
    "Schedule",
    "Step",
    "StepResult",
    "Supervisor",
    "TrainState",
    "TrainingOptions",
    "fractions",
    "frozen_running_statistics",
    "load_modules",
    "notes_on_few",
    "optimizer_step",
    "read_facts",
    "row_generator",
    "seeded",
    "shuffled_index",
    "spread_of",
    "square",
    "update_average",
    "write_picture",
    "write_whole",
]
