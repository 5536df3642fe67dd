"""A scheduler to try things on."""

from ..workbench import (  # noqa: TID252 - shared between rooms
    bench,
)

__all__ = ["bench"]
