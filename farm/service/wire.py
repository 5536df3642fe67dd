"""What travels over HTTP, as JSON: the requests that are accepted, and the answers.

Locations are ROOT/path. Times are Unix seconds. States are those of farm.model, in small letters.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from farm.model.job import MOST_URGENT, FilmOptions, JobState, Plan, Wanted
from farm.model.unit import UnitState

__all__ = [
    "Changes",
    "Entry",
    "Estimate",
    "FarmView",
    "Fault",
    "Identifier",
    "JobRequest",
    "JobView",
    "JobsPage",
    "Places",
    "Refusal",
    "Result",
    "Results",
    "Retry",
    "SeenView",
    "StoryView",
    "TaskView",
    "Tasks",
    "UnitDetails",
    "UnitView",
    "UnitsPage",
    "WorkerView",
    "Workers",
]

ID: Final = r"^[a-z0-9][a-z0-9._-]{0,63}$"
MOST_INPUTS: Final = 10_000
MOST_WORKERS: Final = 100_000
DEEPEST: Final = 20
"""Levels of a JSON value."""

_UNSTORABLE: Final = re.compile(r"[\0\ud800-\udfff]")


def _clean(value: Any) -> Any:
    """Return a JSON value all of whose texts can be stored, if it is not too deep. Raises ValueError."""
    _check(value, DEEPEST)
    return value


def _check(value: Any, levels: int) -> None:
    match value:
        case str() if _UNSTORABLE.search(value):
            raise ValueError("it contains a zero character or half of a character")
        case dict() | list() | tuple() if not levels:
            raise ValueError(f"it has more than {DEEPEST} levels")
        case dict():
            for key, item in value.items():
                _check(key, levels - 1)
                _check(item, levels - 1)
        case list() | tuple():
            for item in value:
                _check(item, levels - 1)


Identifier = Annotated[str, Field(pattern=ID)]
Line = Annotated[str, Field(max_length=200), AfterValidator(_clean)]
Location = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_clean)]
Values = Annotated[dict[str, Any], AfterValidator(_clean)]
Whole = Annotated[int, Field(ge=0)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class JobRequest(_Request):
    """A job to run. token: the same one gives the same job, however often it is sent.

    overwrite: replace outputs that exist. resume: keep those that an equal job has finished. owner: the
    holder of the token, if the farm asks for one; anybody if not.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "task": "dream",
                    "params": {"octaves": 3, "iterations": 8},
                    "inputs": ["photos/clouds.jpg"],
                    "output": "photos/clouds-dream.png",
                    "name": "clouds",
                }
            ]
        }
    )

    task: Annotated[str, Field(max_length=32), AfterValidator(_clean)]
    params: Values = Field(default_factory=dict)
    inputs: tuple[Location, ...] = Field(min_length=1, max_length=MOST_INPUTS)
    output: Location
    frames: Line | None = None
    film: FilmOptions = Field(default_factory=FilmOptions)
    plan: Plan = Field(default_factory=Plan)
    priority: int = Field(50, ge=0, le=MOST_URGENT)
    workers: int = Field(1, ge=0, le=MOST_WORKERS)
    keeps_going: bool = False
    name: Line = ""
    owner: Line = ""
    after: tuple[Identifier, ...] = Field((), max_length=100)
    token: Line = ""
    resume: bool = False
    overwrite: bool = False


class PreviewRequest(JobRequest):
    """A job of which one picture is rendered small. output: has no effect."""

    output: Location = "-"


class Changes(_Request):
    """What to change about a job."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"wanted": "pause"}]})

    wanted: Wanted | None = None
    priority: int | None = Field(None, ge=0, le=MOST_URGENT)


class Retry(_Request):
    """Which units to try again: those that failed, or with redo all that are named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"frames": "1-24", "redo": True}]})

    units: Annotated[tuple[Line, ...], Field(max_length=MOST_INPUTS)] | None = None
    frames: Line | None = None
    redo: bool = False


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Fault(_Answer):
    code: Literal[
        "bad_request",
        "not_found",
        "forbidden",
        "unauthorized",
        "conflict",
        "too_large",
        "unsupported",
        "busy",
        "unavailable",
        "not_allowed",
        "internal",
    ]
    field: str | None = None
    message: str


class Refusal(_Answer):
    """Why a request was refused."""

    error: Fault


class SeenView(_Answer):
    """Frames that a person sees. counts: of them by state; rounded, where segments of a film overlap."""

    frames: int
    done: int
    failed: int
    counts: dict[str, int]


class JobView(_Answer):
    """A job. frames, done, failed, and the numbers in counts, are of units.

    A unit is a frame or a picture, but also a part of a film, the film itself, and each further
    rendering of a frame in a coherent film, so a film has more units than frames. progress: 0..1, of
    units. eta: seconds left, if that can be told. seen: how many frames it has; none while it is planned, if it
    trains, or if it is from before they were counted. notes: what planning said of it, such as which inputs were
    left out; for some time.
    """

    id: str
    name: str
    owner: str
    task: str
    state: JobState
    reason: str
    since: float
    wanted: Wanted
    priority: int
    created: float
    after: list[str]
    counts: dict[str, int]
    frames: int
    done: int
    failed: int
    seen: SeenView | None
    notes: list[str]
    progress: float
    eta: float | None
    spec: dict[str, Any]
    device: str
    preview: bool


class JobsPage(_Answer):
    jobs: list[JobView]
    next: str | None = None


class UnitView(_Answer):
    """A unit of a job. seconds: by stage. done: 0..1."""

    number: int
    name: str
    state: UnitState
    source: str
    target: str
    attempt: int
    reason: str
    worker: str
    done: float
    seconds: dict[str, float]
    since: float | None


class UnitsPage(_Answer):
    units: list[UnitView]
    next: int | None = None


class StoryView(_Answer):
    """A change of a unit's state. by: who decided it."""

    id: int
    at: float
    unit: str
    state: str
    attempt: int
    worker: str
    reason: str
    by: str


class StoryPage(_Answer):
    lines: list[StoryView]
    next: int | None = None


class FailureView(_Answer):
    attempt: int
    reason: str
    message: str


class UnitDetails(UnitView):
    story: list[StoryView]
    failures: list[FailureView]


class Estimate(_Answer):
    """What a job would cost. seconds: None if this farm has not run such a task yet."""

    units: int
    pixels: int
    seconds: float | None = None
    seconds_per_megapixel: float | None = None
    based_on: int = 0
    bytes: int | None = None
    notes: list[str] = Field(default_factory=list)


class Why(_Answer):
    """What a job waits for, in words."""

    waiting: str
    units: dict[str, int]


class TaskView(_Answer):
    """A task that jobs can have. kind: effect or run. schema: JSON schema of its parameters.

    presets: parameters by the name of a look. endless: makes as many frames as it is asked for of one picture.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=(), populate_by_name=True)

    name: str
    title: str
    kind: Literal["effect", "run"]
    params: dict[str, Any] = Field(serialization_alias="schema")
    presets: dict[str, dict[str, Any]]
    endless: bool
    plugin: str


class Tasks(_Answer):
    tasks: list[TaskView]


class Entry(_Answer):
    path: str
    kind: Literal["folder", "picture", "film", "other"]
    size: int


class Places(_Answer):
    """Names of the roots, or what is in a folder of one."""

    roots: list[str] | None = None
    entries: list[Entry] | None = None
    next: str | None = None


class Result(_Answer):
    path: str
    size: int
    unit: int | None = None


class Results(_Answer):
    results: list[Result]
    next: int | None = None


class RunPicture(_Answer):
    step: int
    path: str


class RunView(_Answer):
    """Curves of a run, and its pictures. series: values at the steps; None where there is none."""

    steps: list[int]
    series: dict[str, list[float | None]]
    pictures: list[RunPicture]


class WorkedUnit(_Answer):
    job: str
    name: str
    done: float


class WorkerView(_Answer):
    name: str
    kind: str
    node: str
    device: str
    threads: int
    memory: int
    state: str
    since: float
    unit: WorkedUnit | None
    installed: list[str]


class Workers(_Answer):
    workers: list[WorkerView]


class Minute(_Answer):
    at: float
    pixels: int
    units: int


class FarmView(_Answer):
    """The farm in one word, with the reason, and its figures."""

    state: Literal["idle", "active", "waiting", "degraded", "inoperative"]
    reason: str
    version: str
    since: float
    jobs: dict[str, int]
    units: dict[str, int]
    workers: dict[str, int]
    room: int
    throughput: list[Minute]


class Readiness(_Answer):
    ready: bool
    reason: str = ""


class Health(_Answer):
    status: Literal["ok"] = "ok"


class Uploaded(_Answer):
    path: str
