"""Jobs and units: what is asked for, what is scheduled, and the states both go through.

Frozen data only: no I/O, no clock, no torch.
"""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

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


class JobSpec(BaseModel):
    """One submission: task, parameters, inputs, output, plan and priority (higher is sooner)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = Field(min_length=1)
    output: str
    frames: str | None = None
    plan: Plan = Field(default_factory=Plan)
    priority: int = Field(50, ge=0, le=100)

    @property
    def key(self) -> str:
        """Digest of everything but the priority: equal keys ask for equal files."""
        content = self.model_dump(mode="json", exclude={"priority"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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


@dataclass(frozen=True)
class Unit:
    """The piece that is scheduled, retried and recorded: one frame of a job.

    name: unique within the job. source, target: path or URL. needs: names of units before it.
    """

    job: str
    name: str
    source: str
    target: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """A submitted job as the scheduler and the ledger know it. created: Unix seconds."""

    id: str
    spec: JobSpec
    created: float
    state: JobState = JobState.QUEUED
    wanted: Wanted = Wanted.RUN
    reason: str = ""
