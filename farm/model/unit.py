"""Units: the pieces that are scheduled, retried and recorded, and the states they pass through."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from farm.model.work import Render, Train, Work


class UnitState(StrEnum):
    """States of a unit. The scheduler's transition table says which changes are allowed."""

    BLOCKED = "blocked"
    READY = "ready"
    LEASED = "leased"
    RUNNING = "running"
    RETRY_WAIT = "retry_wait"
    SUCCEEDED = "succeeded"
    SKIPPED = "skipped"
    QUARANTINED = "quarantined"
    CANCELLED = "cancelled"

    @property
    def is_done(self) -> bool:
        """Whether the units that need this one may start."""
        return self in _DONE

    @property
    def is_final(self) -> bool:
        return self in FINAL


_DONE: Final = frozenset({UnitState.SUCCEEDED, UnitState.SKIPPED})

HELD: Final = (UnitState.LEASED, UnitState.RUNNING)
"""States in which a worker holds the unit."""

FAILED: Final = (UnitState.QUARANTINED, UnitState.CANCELLED)
"""States in which the unit has ended and is not done."""

WAITING: Final = (UnitState.BLOCKED, UnitState.READY, UnitState.RETRY_WAIT)
"""States in which no worker holds the unit, and one may yet."""

FINAL: Final = _DONE | {*FAILED}
"""States in which the unit has ended."""

ALL_WORKERS: Final = 0
"""In place of a number of workers: as many as the farm has room for."""

_RENDER: Final = Render()


class Role(StrEnum):
    """The kind of worker a unit needs: one that renders or trains, or one that finishes films."""

    RENDER = "render"
    FINISH = "finish"


@dataclass(frozen=True)
class Unit:
    """The piece that is scheduled, retried and recorded: one frame, or one step of a film.

    name: unique within the job. source, target: path or URL. needs: names of the units that must
    finish first. is_tolerant: runs even if those failed. is_working: only other units read its
    target, which is removed once they are done. workers: that share it; ALL_WORKERS means as many
    as the farm has room for.
    """

    job: str
    name: str
    source: str
    target: str
    needs: tuple[str, ...] = ()
    work: Work = _RENDER
    is_tolerant: bool = False
    is_working: bool = False
    workers: int = 1

    @property
    def frame(self) -> int | None:
        """The number, from 1, of the frame of a film that it renders; None for a still and other work."""
        work = self.work
        if not isinstance(work, Render) or not (self.is_working or work.moment or work.seed):
            return None
        return work.number + 1

    @property
    def role(self) -> Role:
        return Role.RENDER if isinstance(self.work, Render | Train) else Role.FINISH
