"""Random numbers and the order of samples, as functions of seed, step and row.

No position and no random generator has to be saved: a resumed run draws what an uninterrupted
one would have drawn, on any number of workers.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWING: Final = {
    *("uniform_", "normal_", "bernoulli_", "random_", "trunc_normal_", "sparse_", "orthogonal_"),
    *("kaiming_uniform_", "kaiming_normal_", "xavier_uniform_", "xavier_normal_"),
    *("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"),
}
"""Names of torch's functions that draw numbers and take a generator."""


def row_generator(seed: int, step: int, row: int, use: str = "") -> torch.Generator:
    """Return the CPU generator of one row of one step. use: distinguishes several per row."""
    digest = hashlib.sha256(f"{seed}/{step}/{row}/{use}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let what this thread draws in the block start from the seed, as for a network's first weights.

    Other threads may draw from torch's global generator meanwhile, as they do where they build networks.
    """
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        with _Drawing(torch.Generator().manual_seed(seed)):
            yield


class _Drawing(TorchFunctionMode):
    """Lets functions of its thread that draw numbers on the CPU draw from a generator of its own."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        is_on_cpu = all(value.is_cpu for value in args if isinstance(value, Tensor))
        if getattr(func, "__name__", "") in _DRAWING and is_on_cpu and "device" not in kwargs:
            kwargs = kwargs | {"generator": kwargs.get("generator") or self._generator}
        return func(*args, **kwargs)


def shuffled_index(seed: int, count: int, number: int) -> int:
    """Return which of count samples is drawn as number; every epoch has an order of its own."""
    epoch, position = divmod(number, count)
    return int(_order(seed, count, epoch)[position])


@lru_cache(4)
def _order(seed: int, count: int, epoch: int) -> np.ndarray:
    return torch.randperm(count, generator=row_generator(seed, epoch, 0, "order")).numpy()
