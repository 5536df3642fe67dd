"""Films to plan for."""

from ..clips import clip, look, sound_of  # noqa: TID252 - shared between rooms

__all__ = ["clip", "look", "sound_of"]
