"""The group of workers that compute one thing together: a training batch, or one picture's tiles.

All workers run the same program. They exchange their results in a fixed order, so sums, and every
picture, are the same for any number of workers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import torch
from torch import Tensor

from farm.errors import BadParameter

Piece = TypeVar("Piece")
Name = TypeVar("Name")
Tensors = Mapping[Any, Tensor]
"""What one worker computed, by name; no tensor requires gradients."""

_PIECE_BYTES: Final = 2**26
"""Bytes of a file that are sent at a time."""


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

    def broadcast_text(self, text: str, rank: int = 0) -> str:
        """Return one worker's text on every worker; it must not be empty."""
        own = None
        if self.rank == rank:
            own = {"text": torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)}
        return bytes(self.broadcast(own, rank)["text"].tolist()).decode()

    def copy_file(self, source: Path, target: Path) -> None:
        """Copy a file of the first worker to a path on every other one. Raises OSError.

        source: only the first worker looks at it, so that the others need no disk of its own.
        """
        with source.open("rb") if self.rank == 0 else target.open("wb") as file:
            while piece := self._broadcast_piece(file):
                if self.rank != 0:
                    file.write(piece)

    def _broadcast_piece(self, file: BinaryIO) -> bytes:
        """Return what the first worker reads next from its file, on every worker."""
        own = None
        if self.rank == 0:
            content = file.read(_PIECE_BYTES)
            padded = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)
            own = {"piece": padded[: len(content)]}
        return self.broadcast(own, 0)["piece"].cpu().numpy().tobytes()

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
