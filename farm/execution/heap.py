"""Keeps memory from one step of an effect to the next, and gives it back between orders.

glibc returns large blocks to the system as soon as they are freed. Each step of an effect would get
the same blocks anew, and the system fills every page of them with zeros.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["HEAP_ENVIRONMENT", "freed_memory_is_given_back", "keep_freed_memory"]

_NO_LIMIT: Final = 2**31 - 1
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
"""Numbers of mallopt's parameters."""

HEAP_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(_NO_LIMIT),
}
"""What makes glibc keep freed memory in a process that is yet to start."""


def keep_freed_memory() -> None:
    """Make glibc keep freed memory in this process. Call this before threads start.

    A thread that has an area of its own for memory stays with it, and it is too small for pictures.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, _NO_LIMIT)


@contextmanager
def freed_memory_is_given_back() -> Iterator[None]:
    """Return all memory that is free after the block to the system."""
    try:
        yield
    finally:
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)
