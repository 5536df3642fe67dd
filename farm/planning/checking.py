"""Runs a task's own check of a spec, before anything is stored or rendered."""

from collections.abc import Callable

from farm.errors import FarmError, PluginError
from farm.host.context import Context
from farm.host.registry import Registry
from farm.host.task import Task
from farm.host.vetting import validate_params
from farm.model.job import JobSpec


def task_check(
    registry: Registry, make_context: Callable[[JobSpec], Context]
) -> Callable[[JobSpec], None]:
    """Return a function that runs the check of a spec's task.

    It raises the UserError of the check, or PluginError if the check itself fails.
    """

    def check(spec: JobSpec) -> None:
        task = registry.task(spec.task)
        if task.check is Task.check:
            return
        try:
            task(validate_params(task, spec.params)).check(make_context(spec))
        except FarmError:
            raise
        except Exception as error:
            raise PluginError(spec.task, f"check raised {type(error).__name__}: {error}") from error

    return check
