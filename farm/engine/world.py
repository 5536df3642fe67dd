"""The group of workers that compute one thing together: a training batch, or one picture's tiles.

All workers run the same program. They exchange their results in a fixed order, so sums, and every
picture, are the same for any number of workers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from farm.errors import BadParameter

Piece = TypeVar("Piece")
Name = TypeVar("Name")
Tensors = Mapping[Any, Tensor]
"""What one worker computed, by name; no tensor requires gradients."""


def _return_own(tensors: Tensors | None, _rank: int) -> Tensors:
    assert tensors is not None
    return tensors


@dataclass(frozen=True)
class World:
    """The workers that run the same program.

    rank: this worker's number, from 0; the first one writes. all_reduce: sums a tensor over all
    workers, in place and in a fixed order. broadcast: sends the tensors of the worker of a rank
    to all; the others pass None. begin_all_reduce: starts the same sum and returns a function that
    waits for it, so that the worker can compute meanwhile; None where that is impossible. All
    workers start their sums in the same order.
    """

    rank: int = 0
    size: int = 1
    all_reduce: Callable[[Tensor], object] = lambda _tensor: None
    broadcast: Callable[[Tensors | None, int], Tensors] = _return_own
    begin_all_reduce: Callable[[Tensor], Callable[[], object]] | None = None

    def rows(self, batch: int) -> range:
        """Return this worker's rows of a batch. Raises BadParameter if a worker would have none."""
        if batch < self.size:
            raise BadParameter(
                "batch",
                f"{batch} pictures are too few for {self.size} workers; use a larger batch, or "
                f"--workers {batch}",
            )
        return range(self.rank, batch, self.size)

    def broadcast_text(self, text: str) -> str:
        """Return the first worker's text on every worker; it must not be empty."""
        own = None
        if self.rank == 0:
            own = {"text": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)}
        return bytes(self.broadcast(own, 0)["text"].tolist()).decode()

    def deal(
        self, pieces: Sequence[Piece], compute: Callable[[Piece], Mapping[Name, Tensor]]
    ) -> Iterator[tuple[Piece, Mapping[Name, Tensor]]]:
        """Yield every piece with its result, in order; each worker computes some of the pieces.

        At most two results are in memory: one computed here and one received.
        """
        for first in range(0, len(pieces), self.size):
            dealt = pieces[first : first + self.size]
            own = compute(dealt[self.rank]) if self.rank < len(dealt) else None
            for rank, piece in enumerate(dealt):
                yield piece, self.broadcast(own if rank == self.rank else None, rank)


ALONE: Final = World()
