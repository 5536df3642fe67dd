"""The workers that compute one thing together: a run's batches, or the tiles of one picture.

All of them run the same program. What each computes alone is told to all in a fixed order, so
that sums, and with them every picture, are the same for any number of workers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from torch import Tensor

from farm.errors import BadParameter

Piece = TypeVar("Piece")
Name = TypeVar("Name")
Told = Mapping[Any, Tensor]
"""What one worker computed, by name; no tensor asks for gradients."""


def _heard(made: Told | None, _rank: int) -> Told:
    assert made is not None
    return made


@dataclass(frozen=True)
class World:
    """The workers that go through the same program.

    rank: this one's number, from 0; the first one writes. add: sums a tensor over all of them, in
    place and in a fixed order. tell: gives everybody what the worker of a rank made; the others
    give None.
    """

    rank: int = 0
    size: int = 1
    all_reduce: Callable[[Tensor], object] = lambda _tensor: None
    broadcast: Callable[[Told | None, int], Told] = _heard

    def rows(self, batch: int) -> range:
        """Return this worker's rows of a batch. Raises BadParameter where some have none."""
        if batch < self.size:
            raise BadParameter(
                "batch",
                f"{batch} pictures for {self.size} workers; give more, or --workers {batch}",
            )
        return range(self.rank, batch, self.size)

    def deal(
        self, pieces: Sequence[Piece], make: Callable[[Piece], Mapping[Name, Tensor]]
    ) -> Iterator[tuple[Piece, Mapping[Name, Tensor]]]:
        """Yield every piece with what was made of it, in order; each worker makes its share.

        Held at a time: one piece that was made here, and one that was heard of.
        """
        for first in range(0, len(pieces), self.size):
            dealt = pieces[first : first + self.size]
            own = make(dealt[self.rank]) if self.rank < len(dealt) else None
            for rank, piece in enumerate(dealt):
                yield piece, self.broadcast(own if rank == self.rank else None, rank)


ALONE: Final = World()
