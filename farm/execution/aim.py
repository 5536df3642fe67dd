"""The strength that the frames of a coherent film go towards.

How strong an effect is depends on what is in the picture, and on parameters that change. So some frames are
also rendered as they would be without a previous frame, before their turn, and the frames up to there change
in even steps to what that yields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from farm.media.strength import Strength

__all__ = ["Aim", "without_aim"]

_KEY: Final = "aims at"


@dataclass(frozen=True)
class Aim:
    """A strength, and the number of frames in which it is reached."""

    strength: "Strength"
    frames: int

    def step(self, strength: "Strength") -> "Strength":
        """Return the strength of the next frame. strength: of the last one."""
        pairs = zip(strength, self.strength, strict=True)
        return tuple(now + (then - now) / self.frames for now, then in pairs)

    @property
    def rest(self) -> Self | None:
        """What remains to be reached after the next frame; None if that one reaches it."""
        return type(self)(self.strength, self.frames - 1) if self.frames > 1 else None

    def in_record(self) -> dict[str, object]:
        """Return what the record of a working picture says of it."""
        return {_KEY: {"strength": list(self.strength), "frames": self.frames}}

    @classmethod
    def of_record(cls, record: Mapping[str, Any] | None) -> Self | None:
        """Return the aim that the record of a working picture has, if any."""
        found = (record or {}).get(_KEY)
        return cls(tuple(found["strength"]), found["frames"]) if found else None


def without_aim(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a working picture as that of a finished one."""
    return {key: value for key, value in record.items() if key != _KEY}
