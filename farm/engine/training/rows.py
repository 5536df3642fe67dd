"""Random numbers and the order of samples, as functions of seed, step and row.

No position and no random generator has to be saved: a resumed run draws what an uninterrupted
one would have drawn, on any number of workers.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch


def row_generator(seed: int, step: int, row: int, use: str = "") -> torch.Generator:
    """Return the CPU generator of one row of one step. use: distinguishes several per row."""
    digest = hashlib.sha256(f"{seed}/{step}/{row}/{use}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let torch's global generator start from the seed during the block, as for a network's first weights."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


def shuffled_index(seed: int, count: int, number: int) -> int:
    """Return which of count samples is drawn as number; every epoch has an order of its own."""
    epoch, position = divmod(number, count)
    return int(_order(seed, count, epoch)[position])


@lru_cache(4)
def _order(seed: int, count: int, epoch: int) -> np.ndarray:
    return torch.randperm(count, generator=row_generator(seed, epoch, 0, "order")).numpy()
