"""What a service says of a job."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from farm.model.unit import HELD

ENDED: Final = frozenset({"completed", "completed_with_failures", "failed", "cancelled"})
"""States in which a job stays."""


class JobStatus(BaseModel):
    """A job as its service saw it last; anything else that the service says is kept as well.

    frames, done, failed, running: numbers of units; a film has more of them than frames, as its parts
    and the film itself are units too. counts: of units in each state. progress: 0 to 1. created, since: Unix seconds. eta:
    seconds left, if the service can tell. seen: frames, done, failed and counts of the frames that a
    person sees; None if the job has none, or they have not been counted. notes: what the user should know of its
    inputs. spec: the request, with locations ROOT/path.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    id: str
    task: str = ""
    state: str
    reason: str = ""
    wanted: str = "run"
    priority: int = 50
    created: float = 0.0
    since: float = 0.0
    frames: int = 0
    done: int = 0
    failed: int = 0
    progress: float = 0.0
    eta: float | None = None
    counts: dict[str, int] = Field(default_factory=dict)
    seen: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    spec: dict[str, Any] = Field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def running(self) -> int:
        return sum(self.counts.get(state, 0) for state in HELD)

    @property
    def is_complete(self) -> bool:
        """Whether the job has ended, and every unit of it succeeded."""
        return self.state == "completed" and not self.failed
