"""Take the step of a whole batch in parts that fit the memory."""

from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor
from torch.optim import Optimizer

from farm.engine.training import TrainState, optimizer_step
from farm.engine.world import World

KEY: Final = "rows at once"
"""Where the size of the parts is in the memory of a run."""

_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")

Loss = Callable[[slice], Tensor]
"""Returns the loss of these of a worker's rows: a sum, divided by the size of the whole batch."""


def step_in_parts(
    state: TrainState, optimizer: Optimizer, loss: Loss, *, count: int, rate: float, world: World
) -> str:
    """Take one optimiser step on all rows; return a warning if the parts have just become smaller.

    count: rows of this worker. The parts' gradients are added up, so the step is that of the whole
    batch, up to rounding. If the memory is too small, the parts are halved; a single row that is too
    large raises.
    """
    warning = ""
    while True:
        size = min(count, state.memory.get(KEY, count))
        try:
            optimizer_step(optimizer, _losses(loss, count, size), rate, world)
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size = -(-size // 2)
        else:
            return warning
        state.memory[KEY] = size
        warning = f"the memory is too small for {count} pictures at once; computing {size} at once"
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _losses(loss: Loss, count: int, size: int) -> Iterator[Tensor]:
    for first in range(0, count, size):
        yield loss(slice(first, min(first + size, count)))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether torch could not allocate memory."""
    text = str(error).lower()
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        phrase in text for phrase in _OUT_OF_MEMORY
    )
