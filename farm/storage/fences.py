"""Fences around attempts: an attempt replaces only what was there when it began.

A worker that was taken for dead and wakes up would otherwise replace what another one has written
meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from farm.storage.urls import absolute

__all__ = ["expected_at", "fence", "written"]

_fences: Final[ContextVar[dict[str, str] | None]] = ContextVar("farm_fences", default=None)


@contextmanager
def fence(url: str, version: Callable[[str], str]) -> Iterator[None]:
    """Let the block replace only what is at a URL now. version: of a file, or ABSENT."""
    there = {absolute(url): version(url)}
    before = _fences.set((_fences.get() or {}) | there)
    try:
        yield
    finally:
        _fences.reset(before)


def expected_at(url: str) -> str | None:
    """Return the version that may be replaced here, as Scheme.put expects it."""
    return (_fences.get() or {}).get(absolute(url))


def written(url: str, version: str) -> None:
    """Note that the attempt itself has written this version."""
    fences = _fences.get()
    if fences is not None and absolute(url) in fences:
        fences[absolute(url)] = version
