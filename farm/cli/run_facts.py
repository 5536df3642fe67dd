"""What ``farm show`` says of the folder of a run, on a disk or at a URL."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from farm import storage
from farm.cli.command_line import command_line
from farm.engine.training.runs import (
    RunFacts,
    describe_skipped,
    find_checkpoint,
    last_step,
    located_checkpoints,
    read_description,
)
from farm.errors import FarmError
from farm.host.registry import Registry
from farm.host.task import Run, Task
from farm.model.job import JobSpec, Plan

__all__ = ["run_facts", "run_in_words"]

_MORE: Final = "MORE"
"""In place of a number of steps that the user chooses."""


def run_facts(run: str, registry: Registry) -> dict[str, Any]:
    """Return what is known of a run, for programs. Raises BadInput if the folder contains no run."""
    start, description = read_description(run)
    return dict(_facts(run, start, registry)) | description


def run_in_words(run: str, registry: Registry) -> dict[str, Any]:
    """Return what is known of a run, for people. Raises as run_facts.

    Figures have four significant digits. A parameter that was left to the task has the value that it
    chose, if a checkpoint has that. Of a run with a result, the command is one that trains it for longer.
    """
    start, description = read_description(run)
    words = dict(_facts(run, start, registry)) | description
    task, made, wanted = registry.tasks.get(start.task), words["steps"], start.params.get("steps")
    words["steps"] = _amount(made, wanted)
    words["params"] = _with_chosen(run, description["params"])
    if task and _is_finished(run, task):
        words["steps"] += ", finished" if wanted in (None, made) else ""
        if "command" in words and "steps" in start.params:
            longer = _command(run, start, task, {**start.params, "steps": _MORE})
            words["command"] = f"to train longer, raise --steps: {longer}"
    if "last" in words:
        words["last"] = {name: _figure(value) for name, value in words["last"].items()}
    return words


def _amount(made: int, wanted: object) -> str:
    """Return how many steps a run has made, and of how many unless it was continued for longer."""
    return f"{made} of {wanted}" if isinstance(wanted, int) and made <= wanted else str(made)


def _figure(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


def _with_chosen(run: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters, with the value that the task chose for each that was left to it."""
    facts: Mapping[str, Any] = {}
    if None in params.values():
        from farm.engine.training.checkpoint import read_facts

        with suppress(FarmError):  # there is no checkpoint yet, or it cannot be read
            facts = read_facts(find_checkpoint(run))
    return {name: facts.get(name) if v is None else v for name, v in params.items()}


def _facts(run: str, start: RunFacts, registry: Registry) -> Iterator[tuple[str, Any]]:
    made = max(located_checkpoints(run), default=0)
    task = registry.tasks.get(start.task)
    if task and start.inputs:
        params = _going_on(start.params, made, is_finished=_is_finished(run, task))
        yield "command", _command(run, start, task, params)
    yield "steps", made
    if last := last_step(run):
        yield "last", last
    if skipped := describe_skipped(run):
        yield "skipped", skipped.removeprefix("skipped ")


def _command(run: str, start: RunFacts, task: type[Task], params: Mapping[str, Any]) -> str:
    """Return the command that continues a run with these parameters."""
    spec = JobSpec(
        task=start.task,
        params=dict(params),
        inputs=start.inputs,
        output=storage.name(storage.absolute(run)),
        plan=Plan(seed=start.seed or 0),
    )
    return command_line(task, spec, more=("--resume",))


def _is_finished(run: str, task: type[Task]) -> bool:
    """Return whether a run has made all steps that it began with."""
    return issubclass(task, Run) and storage.is_file(storage.join(run, task.result))


def _going_on(params: Any, made: int, *, is_finished: bool) -> dict[str, Any]:
    """Return a run's parameters; of one that was continued for longer, not the steps it began with.

    These may be left to the task, which then gives none here.
    """
    steps = params.get("steps", made)
    is_longer = is_finished if steps is None else isinstance(steps, int) and made > steps
    return {**params, "steps": made} if is_longer else dict(params)
