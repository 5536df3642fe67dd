"""What a job waits for that is to start after others, in words."""

from collections.abc import Mapping
from typing import Final

from farm.model.job import JobState

__all__ = ["waits_for"]

_ENDS: Final = {JobState.FAILED: "failed", JobState.CANCELLED: "was cancelled"}
"""Ends after which the jobs that wait go on waiting: the user may want the job tried again."""


def waits_for(states: Mapping[str, JobState]) -> str:
    """Return which jobs a job waits for, and what the user can do about it; empty for none.

    states: of the jobs that must complete first.
    """
    for name, state in states.items():
        if state in _ENDS:
            return f"waits for job {name}, which {_ENDS[state]}; retry it, or cancel this job"
    first, *others = [name for name, state in states.items() if not state.is_final] or [""]
    if not first:
        return ""
    more = f" and {len(others)} other{'s' if len(others) > 1 else ''}" if others else ""
    return f"waits for job {first}{more}"
