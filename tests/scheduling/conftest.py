"""A scheduler on a test bench."""

from ..workbench import (  # noqa: TID252 - shared between rooms
    bench,
)

__all__ = ["bench"]
