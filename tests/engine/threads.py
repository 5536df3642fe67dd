"""Workers that share a picture or a run, as threads of the test's process."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from torch import Tensor

from farm.engine.world import Tensors, World

Result = TypeVar("Result")


class Threads:
    """Workers that are threads of this process and exchange tensors in memory."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._barrier = threading.Barrier(size, timeout=60)
        self._box: Tensors | None = None
        self._summands: dict[int, Tensor] = {}

    def run(self, program: Callable[[World], Result]) -> list[Result]:
        """Run the program on every worker; return their results."""
        worlds = [
            World(rank, self._size, partial(self._all_reduce, rank), self._broadcast)
            for rank in range(self._size)
        ]
        with ThreadPoolExecutor(self._size) as pool:
            return list(pool.map(program, worlds))

    def _all_reduce(self, rank: int, tensor: Tensor) -> None:
        self._summands[rank] = tensor.clone()
        self._barrier.wait()
        total = sum(self._summands[other] for other in range(self._size))
        self._barrier.wait()
        tensor.copy_(total)

    def _broadcast(self, tensors: Tensors | None, _rank: int) -> Tensors:
        if tensors is not None:
            self._box = {name: tensor.clone() for name, tensor in tensors.items()}
        self._barrier.wait()
        received = self._box
        self._barrier.wait()
        assert received is not None
        return received
