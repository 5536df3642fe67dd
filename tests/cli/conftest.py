"""Distributions on sys.path, and the farm's command."""

from ..distributions import (  # noqa: TID252 - shared between rooms
    farm,
    install,
)

__all__ = ["farm", "install"]
