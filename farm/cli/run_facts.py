"""What ``farm show`` says of the folder of a run, on a disk or at a URL."""

from collections.abc import Iterator
from typing import Any

from farm import storage
from farm.cli.again import command_line
from farm.engine.training.runs import (
    RunFacts,
    describe_skipped,
    last_step,
    located_checkpoints,
    read_description,
)
from farm.host.registry import Registry
from farm.host.task import Run, Task
from farm.model.job import JobSpec, Plan

__all__ = ["run_facts"]


def run_facts(run: str, registry: Registry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description of a run, and what it does not say by itself.

    Raises BadInput if the folder contains no run.
    """
    start, description = read_description(run)
    return description, dict(_facts(run, start, registry))


def _facts(run: str, start: RunFacts, registry: Registry) -> Iterator[tuple[str, Any]]:
    made = max(located_checkpoints(run), default=0)
    task = registry.tasks.get(start.task)
    if task and start.inputs:
        spec = JobSpec(
            task=start.task,
            params=_going_on(start.params, made, is_finished=_is_finished(run, task)),
            inputs=start.inputs,
            output=storage.name(storage.absolute(run)),
            plan=Plan(seed=start.seed or 0),
        )
        yield "command", command_line(task, spec, more=("--resume",))
    yield "steps", made
    if last := last_step(run):
        yield "last", last
    if skipped := describe_skipped(run):
        yield "skipped", skipped.removeprefix("skipped ")


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
