"""How long each stage of a unit takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Note the seconds that the block takes under the stage's name."""
    started = perf_counter()
    yield
    seconds[stage] = perf_counter() - started
