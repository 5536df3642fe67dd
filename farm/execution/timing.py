"""Measures how long each stage of a unit takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Store the duration of the block, in seconds, under the name of the stage."""
    started = perf_counter()
    yield
    seconds[stage] = perf_counter() - started
