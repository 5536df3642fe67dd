"""Fixtures for distributions on sys.path and for the farm's command."""

from ..distributions import (  # noqa: TID252 - shared between rooms
    farm,
    install,
)

__all__ = ["farm", "install"]
