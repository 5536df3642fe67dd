"""How much of a job there is to see: frames of its films and pictures, which are fewer than its units."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from farm.model.unit import Unit, UnitState
from farm.model.work import Blend, Encode, Render

__all__ = ["JobCounts", "Seen", "frames_seen", "share_seen"]


@dataclass(frozen=True)
class Seen:
    """Frames of a job that a person sees. frames: of all. counts: of them by state, each rounded."""

    frames: int
    counts: Mapping[UnitState, int]

    @classmethod
    def of(cls, frames: int, rendered: Mapping[UnitState, int]) -> "Seen":
        """Return what is seen. rendered: the units that render, of which some frames have two."""
        total = sum(rendered.values())
        share = frames / total if total else 1.0
        return cls(frames, {state: round(share * count) for state, count in rendered.items()})

    @property
    def done(self) -> int:
        """How many are done, and less than all as long as some are left."""
        is_one_left = any(count and not state.is_done for state, count in self.counts.items())
        done = sum(count for state, count in self.counts.items() if state.is_done)
        return min(self.frames - is_one_left, done)

    @property
    def failed(self) -> int:
        return self.counts.get(UnitState.QUARANTINED, 0)

    def as_dict(self) -> dict[str, Any]:
        """Return what a service says of it."""
        counts = {str(state): count for state, count in self.counts.items()}
        return {"frames": self.frames, "done": self.done, "failed": self.failed, "counts": counts}


@dataclass(frozen=True)
class JobCounts:
    """Counts of a job. units: by state. seen: None if it has no frames, or they have not been counted."""

    units: Mapping[UnitState, int] = field(default_factory=Counter)
    seen: Seen | None = None


def frames_seen(units: Iterable[Unit]) -> int:
    """Return how many frames a person sees: segments overlap, loops close, and runs have none."""
    return _rendered_and_seen(units)[1]


def share_seen(units: Iterable[Unit]) -> float:
    """Return how many frames a person sees for each that is rendered."""
    rendered, seen = _rendered_and_seen(units)
    return seen / rendered if rendered else 1.0


def _rendered_and_seen(units: Iterable[Unit]) -> tuple[int, int]:
    rendered = seen = 0
    for unit in units:
        match unit.work:
            case Render():
                rendered += 1
                seen += not unit.is_working
            case Encode():
                seen += len(unit.work.pictures)
            case Blend():
                seen += 1
            case _:
                pass
    return rendered, seen
