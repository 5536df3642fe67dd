"""Jobs and units: what is asked for, what is scheduled, and the states both go through.

Frozen data only: no I/O, no clock, no torch.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from farm.film import Coherence, Quality
from farm.work import Render, Train, Work

Precision = Literal["float32", "float64", "bfloat16"]

AUTO_TILE = 1024
"""Tile of ``--tile auto``, in pixels: fixed, so that a plan never depends on the machine."""


class Plan(BaseModel):
    """What the output's bytes depend on besides task, parameters and inputs.

    tile: pixels a side, 0 for the whole picture. threads: per worker.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile: int = Field(AUTO_TILE, ge=0)
    seed: int = Field(0, ge=0, lt=2**63)
    threads: int = Field(1, ge=1)
    precision: Precision = "float32"


class FilmOptions(BaseModel):
    """How films are made.

    coherence: flow begins each frame with the one before, moved along. codec, depth (bits a
    sample): None for what fits output and source. rate: frames a second where the source has no
    times. is_strict: a failed frame fails the film, instead of being filled by its neighbour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coherence: Coherence = "none"
    codec: str | None = None
    quality: Quality = "good"
    depth: Literal[8, 10, 16] | None = None
    rate: float = Field(25.0, gt=0, le=1000, allow_inf_nan=False)
    is_strict: bool = False


class JobSpec(BaseModel):
    """One submission: task, parameters, inputs, output, plan and priority (higher is sooner).

    frames: which of a film, as ``1-240x2``; see plan.FrameRange.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = Field(min_length=1)
    output: str
    frames: str | None = None
    film: FilmOptions = Field(default_factory=FilmOptions)
    plan: Plan = Field(default_factory=Plan)
    priority: int = Field(50, ge=0, le=100)

    @property
    def key(self) -> str:
        """Digest of everything but the priority: equal keys ask for equal files."""
        content = self.model_dump(mode="json", exclude={"priority"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def changes(before: JobSpec, now: JobSpec) -> list[str]:
    """Say what of two jobs differs, parameter by parameter, other than their priority."""
    was, is_now = _flat(before), _flat(now)
    return [
        f"{name} was {was.get(name)}, is now {is_now.get(name)}"
        for name in dict.fromkeys((*was, *is_now))
        if was.get(name) != is_now.get(name)
    ]


def _flat(spec: JobSpec) -> dict[str, Any]:
    content = spec.model_dump(mode="json", exclude={"priority"})
    return {**content.pop("params"), **content.pop("film"), **content.pop("plan"), **content}


class JobState(StrEnum):
    """States of a job; completed may still hold quarantined units."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)


class Wanted(StrEnum):
    """What a person wants of a job; stored, and enforced again after a restart."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class UnitState(StrEnum):
    """States of a unit; see the transition table in scheduler."""

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
        """True where dependants may go on."""
        return self in (UnitState.SUCCEEDED, UnitState.SKIPPED)

    @property
    def is_final(self) -> bool:
        return self.is_done or self in (UnitState.QUARANTINED, UnitState.CANCELLED)


_RENDER = Render()


class Role(StrEnum):
    """What kind of work a unit is: rendering or training, or finishing what was rendered."""

    RENDER = "render"
    FINISH = "finish"


@dataclass(frozen=True)
class Unit:
    """The piece that is scheduled, retried and recorded: one frame, or one step of a film.

    name: unique within the job. source, target: path or URL. needs: names of units before it.
    is_tolerant: goes on however those ended. is_working: its target serves other units alone,
    and is removed when these are done.
    """

    job: str
    name: str
    source: str
    target: str
    needs: tuple[str, ...] = ()
    work: Work = _RENDER
    is_tolerant: bool = False
    is_working: bool = False

    @property
    def role(self) -> Role:
        return Role.RENDER if isinstance(self.work, Render | Train) else Role.FINISH


@dataclass(frozen=True)
class Job:
    """A submitted job as the scheduler and the ledger know it. created: Unix seconds."""

    id: str
    spec: JobSpec
    created: float
    state: JobState = JobState.QUEUED
    wanted: Wanted = Wanted.RUN
    reason: str = ""
