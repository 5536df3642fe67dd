"""Films to plan for."""

from ..clips import clip, look, pictures, sound_of  # noqa: TID252 - shared between rooms

__all__ = ["clip", "look", "pictures", "sound_of"]
