"""Measures which stage of a step the time goes to: data, exchange, and the rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Final

DATA: Final = "data"
"""Waiting for pictures to be decoded."""

EXCHANGE: Final = "exchange"
"""Waiting for other workers."""

COMPUTE: Final = "compute"
CHECKPOINT: Final = "checkpoint"

_seconds: ContextVar[dict[str, float] | None] = ContextVar("seconds", default=None)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the block's duration towards a stage of the current step, if one is measured."""
    began = perf_counter()
    try:
        yield
    finally:
        seconds = _seconds.get()
        if seconds is not None:
            seconds[name] = seconds.get(name, 0.0) + perf_counter() - began


@contextmanager
def measured() -> Iterator[dict[str, float]]:
    """Yield the seconds by stage, complete after the block; what no stage claims is compute."""
    seconds: dict[str, float] = {}
    token, began = _seconds.set(seconds), perf_counter()
    try:
        yield seconds
    finally:
        _seconds.reset(token)
        seconds[COMPUTE] = perf_counter() - began - sum(seconds.values())
