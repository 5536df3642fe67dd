"""Fixtures: distributions on sys.path."""

from ..distributions import (  # noqa: TID252 - shared between rooms
    install,
)

__all__ = ["install"]
