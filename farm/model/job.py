"""Jobs: what the user asks for, the plan for rendering it, and the states it passes through."""

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from farm.model.film import Coherence, Quality
from farm.model.picture_size import Size
from farm.model.rate import DEFAULT_RATE, Rate

MOST_URGENT: Final = 100
"""The highest priority of a job; the lowest is 0."""

RESUMED: Final = "resumed as"
"""Begins the reason of a job that another one has taken over, and ends with that one's id."""

Precision = Literal["float32", "float64", "bfloat16"]

AUTO_TILE = 1024
"""Tile side of ``--tile auto``, in pixels. Fixed, so that a plan never depends on the machine."""

LEAST_TILE: Final = 32
"""Smallest side of a tile, in pixels. What tiles see of their neighbours is computed again for each."""


def _check_tile(side: int) -> int:
    if 0 < side < LEAST_TILE:
        raise ValueError(
            f"{side} pixels are too few, since each tile also computes what it sees of its neighbours; "
            f"use {LEAST_TILE} or more, auto or none (0 in a program)"
        )
    return side


class Plan(BaseModel):
    """What the output's bytes depend on, apart from the task, its parameters and the inputs.

    tile: side in pixels, LEAST_TILE or more; 0 renders the whole picture at once. threads: per
    worker. size: that pictures and frames are brought to before they are rendered; None for their
    own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tile: Annotated[int, AfterValidator(_check_tile)] = Field(AUTO_TILE, ge=0)
    seed: int = Field(0, ge=0, lt=2**63)
    threads: int = Field(1, ge=1)
    precision: Precision = "float32"
    size: Size = None


class FilmOptions(BaseModel):
    """How films are rendered and encoded.

    coherence: flow starts each frame from the previous one, warped along the motion; previous gives it to the
    effect as it was. codec, depth
    (bits per sample): None picks what suits the output and the source. rate: frames per second for
    sources without timestamps; None for DEFAULT_RATE. is_strict: a failed frame fails the film
    instead of being replaced by its neighbour. is_loop: the last frames fade into the first ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    coherence: Coherence = "none"
    codec: str | None = None
    quality: Quality = "good"
    depth: Literal[8, 10, 16] | None = None
    rate: Rate = None
    is_strict: bool = False
    is_loop: bool = False

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second of a film rendered from pictures."""
        return self.rate or DEFAULT_RATE


class JobSpec(BaseModel):
    """One submission: task, parameters, inputs, output, plan and priority (higher runs sooner).

    frames: which frames of a film, such as ``1-240x2``; see model.frame_range. keeps_going: the
    job goes on however many of its units fail. overwrite: outputs that exist are replaced. name,
    owner: for people, empty if nobody gave one; owners share the workers. after: ids of jobs that
    must complete before this one starts. workers: that share a unit which several can share, a run
    or a single large still; 0 for as many as the farm has room for. files: SHA-256 of every file
    that the result depends on and that is no frame: those that parameters name, by path, a network's own weights, by
    weights_key, and the inputs of a run. films: SHA-256 of every film among the inputs. plugin: that
    offers the task, with its version. Planning fills these three in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    params: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = Field(min_length=1)
    output: str
    frames: str | None = None
    film: FilmOptions = Field(default_factory=FilmOptions)
    plan: Plan = Field(default_factory=Plan)
    priority: int = Field(50, ge=0, le=MOST_URGENT)
    keeps_going: bool = False
    overwrite: bool = False
    name: str = ""
    owner: str = ""
    after: tuple[str, ...] = ()
    workers: int = Field(1, ge=0)
    files: dict[str, str] = Field(default_factory=dict)
    films: dict[str, str] = Field(default_factory=dict)
    plugin: str = ""

    @property
    def key(self) -> str:
        """Digest of what the output depends on, except what the films contain.

        Jobs with equal keys write equal files. Films, and stills, count when their units are resumed:
        one that has changed costs only its own frames. A file in another place makes another job,
        even if its content is the same.
        """
        content = _content(self)
        if self.task == "zoom":  # keys were first stored with `turns`, even if empty
            content["params"]["turns"] = content["params"].pop("at", [])
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def known_files(self, source: str) -> dict[str, str]:
        """Return the digests that a unit with this source checks: all files, and its film's."""
        return self.files | ({source: self.films[source]} if source in self.films else {})


_NOT_IN_KEY: Final = {
    "priority",
    "keeps_going",
    "overwrite",
    "name",
    "owner",
    "after",
    "workers",
    "films",
    "plugin",
}

PLANNED: Final = {"files", "films", "plugin"}
"""What planning adds to a spec, which no request has."""


def weights_key(network: str) -> str:
    """Return what stands for a network's own weights in JobSpec.files; their path may differ by node."""
    return f"network {network}"


def changes(before: JobSpec, now: JobSpec) -> list[str]:
    """Return one line per setting or file in which the outputs of two jobs differ."""
    was, is_now = _flat(before), _flat(now)
    settings = [
        f"{name} changed from {was.get(name)} to {is_now.get(name)}"
        for name in dict.fromkeys((*was, *is_now))
        if was.get(name) != is_now.get(name)
    ]
    files = [
        _describe_change(path, now)
        for path, digest in now.files.items()
        if before.files.get(path, digest) != digest
    ]
    return settings + files or ["the earlier job did not record what its files contained"]


def _describe_change(path: str, spec: JobSpec) -> str:
    named = (*spec.params.items(), ("input", spec.inputs))
    users = (user for user, value in named if path in json.dumps(value, ensure_ascii=False))
    name = path.rpartition("/")[2]
    change = f"{name} has different content"
    return next((f"{user} changed: {change}" for user in users), change)


def _content(spec: JobSpec) -> dict[str, Any]:
    """Return what a job's files depend on, as JSON. The default rate counts as if it were given."""
    content = spec.model_dump(mode="json", exclude=_NOT_IN_KEY)
    params = content["params"]
    if spec.task == "zoom" and "turns" in params:
        params["at"] = params.pop("turns")
    if params.get("at") == []:
        del params["at"]
    if spec.task == "style" and params.get("mix") == []:
        del params["mix"]
    if content["plan"]["size"] is None:
        del content["plan"]["size"]  # as jobs had none before they could have one
    if not content["film"]["is_loop"]:
        del content["film"]["is_loop"]
    if content["film"]["rate"] is None:
        content["film"]["rate"] = float(DEFAULT_RATE)
    return content


def _flat(spec: JobSpec) -> dict[str, Any]:
    content = _content(spec)
    content.pop("files")
    return {**content.pop("params"), **content.pop("film"), **content.pop("plan"), **content}


class JobState(StrEnum):
    """States of a job. One that is being planned has no units yet; one that is completed with failures lacks units that failed for good."""

    PLANNING = "planning"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


def in_words(state: str) -> str:
    """Return the name of a state for people, such as "completed with failures"."""
    return state.replace("_", " ")


COMPLETED: Final = (JobState.COMPLETED, JobState.COMPLETED_WITH_FAILURES)
"""States of a job that is over and was neither cancelled nor given up."""

_FINAL: Final = frozenset({*COMPLETED, JobState.FAILED, JobState.CANCELLED})

UNFINISHED: Final = tuple(state for state in JobState if state not in _FINAL)
"""States of a job that has not ended."""


class Wanted(StrEnum):
    """What the user wants a job to do. It is stored and survives a restart."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Job:
    """A submitted job as the scheduler and the ledger know it.

    created: Unix time in seconds. device: of the worker that took its first unit; all its units are
    rendered on this kind of device. Empty before that. since: Unix time in seconds at which it entered
    its state.
    """

    id: str
    spec: JobSpec
    created: float
    state: JobState = JobState.QUEUED
    wanted: Wanted = Wanted.RUN
    reason: str = ""
    device: str = ""
    since: float = 0.0
