"""Films to plan for."""

from ..clips import (  # noqa: TID252 - shared between rooms
    clip,
    look,
)

__all__ = ["clip", "look"]
