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
from farm.engine.training.optimizing import optimizer_step
from farm.engine.training.rates import Decision, Schedule, Supervisor
from farm.engine.training.rows import row_generator, seeded, shuffled_index
from farm.engine.training.run_log import write_picture, write_whole

__all__ = [
    "CollapseDetector",
    "Decision",
    "Detector",
    "Observation",
    "Schedule",
    "Step",
    "StepResult",
    "Supervisor",
    "TrainState",
    "TrainingOptions",
    "load_modules",
    "optimizer_step",
    "read_facts",
    "row_generator",
    "seeded",
    "shuffled_index",
    "write_picture",
    "write_whole",
]
