"""Measures what this process moves to and from storages. Whoever takes the figures gets each once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Final

from farm.errors import OutputReplaced, StorageFailed
from farm.model.transfers import Direction, Transfers
from farm.storage.urls import scheme_name

__all__ = ["Transfer", "take_transfers", "transfer"]

LOCAL: Final = "file"
"""In place of a scheme: a local disk."""

_untaken: Final[dict[tuple[str, Direction], Transfers]] = {}
_lock: Final = Lock()


@dataclass
class Transfer:
    """One file that is being moved. bytes: that have arrived. began: when, once it has begun."""

    bytes: int = 0
    began: float | None = None

    def begin(self) -> None:
        """Measure the time from now on."""
        self.began = perf_counter()


@contextmanager
def transfer(url: str | Path, direction: Direction) -> Iterator[Transfer]:
    """Measure the block, in which one file is moved from when begin is called.

    It counts if it had begun, or if the storage failed before.
    """
    moved, errors = Transfer(), 0
    try:
        yield moved
    except OutputReplaced:
        raise
    except StorageFailed:
        errors = 1
        raise
    finally:
        if moved.began is not None or errors:
            seconds = perf_counter() - moved.began if moved.began is not None else 0.0
            _add(scheme_name(str(url)) or LOCAL, direction, moved.bytes, seconds, errors)


def _add(scheme: str, direction: Direction, size: int, seconds: float, errors: int) -> None:
    key = scheme, direction
    with _lock:
        so_far = _untaken.get(key, Transfers(*key))
        _untaken[key] = Transfers(
            *key,
            so_far.count + 1,
            so_far.bytes + size,
            so_far.seconds + seconds,
            so_far.errors + errors,
        )


def take_transfers() -> tuple[Transfers, ...]:
    """Return what was moved since the last call, by any thread of this process."""
    with _lock:
        taken = tuple(_untaken.values())
        _untaken.clear()
    return taken
