"""What the films of a task need, whatever was asked for: how much each frame continues the previous one."""

from typing import get_args

from farm.host.task import Effect, Task
from farm.model.film import Coherence
from farm.model.job import FilmOptions

__all__ = ["is_endless", "least_coherence", "with_least_coherence"]


def is_endless(task: type[Task]) -> bool:
    """Return whether a task renders each frame from the previous one; a run renders none."""
    return issubclass(task, Effect) and task.is_endless


def least_coherence(task: type[Task]) -> Coherence:
    """Return the coherence that the task's films have at least."""
    return task.coherence if issubclass(task, Effect) else "none"


def with_least_coherence(film: FilmOptions, task: type[Task]) -> FilmOptions:
    """Return the options with at least the coherence that the task needs."""
    most = max(film.coherence, least_coherence(task), key=get_args(Coherence).index)
    return film.model_copy(update={"coherence": most})
