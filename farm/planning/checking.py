"""Asks a task about a spec, before anything is stored or rendered: its own check, and its files."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from farm import storage
from farm.errors import BadParameter, FarmError, PluginError
from farm.host.blame import describe
from farm.host.context import Context
from farm.host.named_files import NAMES_MASK, named_files
from farm.host.registry import Registry
from farm.host.schedule_stages import differing, stages
from farm.host.task import Run, Task
from farm.host.vetting import validate_params
from farm.media.blank import is_blank
from farm.model.job import JobSpec
from farm.model.texts import texts_in

Check = Callable[[JobSpec], Sequence[str]]
"""Raises UserError for a spec that only its task can refuse; returns what the user should know."""


@dataclass(frozen=True)
class Needs:
    """What the result of a spec depends on, apart from the spec.

    named: the path of each file, by the text in the parameters that names it. networks: whose own weights
    it uses. masks: those of the files that must have the inputs' shape.
    """

    named: Mapping[str, str]
    networks: tuple[str, ...]
    masks: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.named.values()))


def unchecked(spec: JobSpec) -> Sequence[str]:  # noqa: ARG001 - a Check
    """Refuse nothing, and say nothing."""
    return ()


def check_files(spec: JobSpec, needs: Needs) -> None:
    """Raise BadParameter for a file that a spec's parameters name and that is not there."""
    for text, path in needs.named.items():
        if not is_blank(path) and not storage.exists(path):
            named = (name for name, value in spec.params.items() if text in texts_in(value))
            reason = f"no such file: {path}; check the name"
            raise BadParameter(next(named, "parameters"), reason)


def task_needs(registry: Registry, spec: JobSpec) -> Needs:
    """Return the files that a spec's parameters name, and its networks.

    Raises the UserError of the task, or PluginError if the task itself fails.
    """
    task = _task_of(registry, spec)
    with _plugin_errors(spec.task, "files"):
        named = {str(text): str(path) for text, path in task.files().items()}
        masks = tuple(named_files(task.params, NAMES_MASK))
        return Needs(named, tuple(map(str, task.networks)), masks)


def task_check(registry: Registry, make_context: Callable[[JobSpec], Context]) -> Check:
    """Return a function that runs the check of a spec's task, and of a run its check of the inputs.

    Parameters that change over time are checked at the stages that differ. It raises the UserError of the
    check, or PluginError if the check itself fails.
    """

    def check(spec: JobSpec) -> Sequence[str]:
        if not _checks(registry.task(spec.task)):
            return ()
        task, context = _task_of(registry, spec), make_context(spec)
        with _plugin_errors(spec.task, "check"):
            tasks = [type(task)(params) for params in differing(stages(task.params))]
            for each in tasks:
                each.check(context)
            if isinstance(task, Run):
                task.check_inputs(spec.inputs, context)
        with _plugin_errors(spec.task, "notes"):
            notes = [str(note) for each in tasks for note in each.notes(context)]
            if isinstance(task, Run):
                notes += map(str, task.notes_on_inputs(spec.inputs, context))
            return tuple(dict.fromkeys(notes))

    return check


def _checks(task: type[Task]) -> bool:
    """Return whether a task has a check or notes of its own."""
    has_own = task.check is not Task.check or task.notes is not Task.notes
    if not issubclass(task, Run):
        return has_own
    has_own |= task.notes_on_inputs is not Run.notes_on_inputs
    return has_own or task.check_inputs is not Run.check_inputs


def _task_of(registry: Registry, spec: JobSpec) -> Task:
    task = registry.task(spec.task)
    params = validate_params(task, spec.params)
    with _plugin_errors(spec.task, "__init__"):
        return task(params)


@contextmanager
def _plugin_errors(task: str, method: str) -> Iterator[None]:
    try:
        yield
    except FarmError:
        raise
    except Exception as error:
        raise PluginError(task, f"{method} raised {describe(error)}") from error
