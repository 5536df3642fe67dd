"""A task's own check of a job, before anything of it is stored or rendered."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from farm.errors import FarmError, PluginError
from farm.job import JobSpec
from farm.registry import Registry
from farm.task import Task
from farm.vetting import validate_params

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext


def task_check(registry: Registry) -> Callable[[JobSpec], None]:
    """Return what refuses a spec that only the task itself can judge.

    It raises the task's UserError, or PluginError where the task's check itself breaks.
    """

    def check(spec: JobSpec) -> None:
        task = registry.task(spec.task)
        if task.check is Task.check:
            return
        try:
            task(validate_params(task, spec.params)).check(_context(registry, spec))
        except FarmError:
            raise
        except Exception as error:
            raise PluginError(spec.task, f"check raised {type(error).__name__}: {error}") from error

    return check


def _context(registry: Registry, spec: JobSpec) -> "FrameContext":
    from farm.engine.context import FrameContext
    from farm.engine.networks import NetworkCache

    return FrameContext(
        device="cpu",
        plan=spec.plan,
        networks=NetworkCache(registry.networks, "cpu"),
        frame="check",
        tell=lambda _done, _note, _tiles: None,
        is_cancelled=lambda: False,
        read=_read,
    )


def _read(source: str) -> "np.ndarray":
    from farm.media import read_still

    return read_still(source).pixels
