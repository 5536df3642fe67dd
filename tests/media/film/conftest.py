"""Fixtures of films to read and frames to encode."""

from ...clips import (  # noqa: TID252 - shared between rooms
    clip,
    look,
    pictures,
    sound_of,
)

__all__ = ["clip", "look", "pictures", "sound_of"]
