"""Compares a job that is to resume a run with the checkpoint that the run would resume from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm import storage
from farm.errors import BadInput, BadOutput, BadParameter
from farm.execution.contexts import ContextFactory
from farm.execution.failures import plugin_errors
from farm.host.registry import Registry
from farm.host.task import Run, Task
from farm.host.vetting import validate_params
from farm.model.job import JobSpec
from farm.storage import FileDigests

if TYPE_CHECKING:
    from farm.engine.context import FrameContext
    from farm.engine.training.checkpoint import Facts

__all__ = ["check_resumed"]


@dataclass(frozen=True)
class _Checkpoint:
    """A checkpoint of a run. location: a path or URL."""

    location: str
    facts: "Facts"
    seed: int


def check_resumed(registry: Registry, spec: JobSpec) -> None:
    """Raise UserError if a job does not continue the run in its folder, if that has a checkpoint.

    spec: of a Run, with the digests of its files. The task, the seed and the task's facts are compared
    with the newest checkpoint that can be read. Raises BadOutput for another task, BadParameter for
    a parameter, BadInput for what else differs, or if no checkpoint can be read; and PluginError.
    """
    checkpoint = _newest(spec.output)
    if checkpoint is None:
        return
    contexts = ContextFactory(registry, "cpu", FileDigests(spec.files))

    def context_of(seed: int) -> "FrameContext":
        plan = spec.plan.model_copy(update={"seed": seed})
        return contexts.make(plan, spec.task, lambda *_: None, lambda: False)

    _check_start(spec, lambda seed: context_of(seed).seed == checkpoint.seed)
    kind = registry.task(spec.task)
    with plugin_errors(spec.task, "cpu"):
        task = kind(validate_params(kind, spec.params))
        assert isinstance(task, Run)
        facts = dict(task.facts(spec.inputs, context_of(spec.plan.seed)))
    _check_facts(kind, facts, checkpoint, spec.output)


def _newest(run: str) -> _Checkpoint | None:
    """Return the newest checkpoint that can be read. Raises BadInput if there are only others."""
    from farm.engine.training.checkpoint import read_origin
    from farm.engine.training.runs import located_checkpoints

    errors: list[BadInput] = []
    for location in reversed(located_checkpoints(run).values()):
        try:
            return _Checkpoint(location, *read_origin(storage.input_path(location)))
        except BadInput as error:
            errors.append(BadInput(location, error.reason))
    if errors:
        raise errors[0]
    return None


def _check_start(spec: JobSpec, made: Callable[[int], bool]) -> None:
    """Compare a job with what its run was started with.

    made: whether this seed, as a user gives it, is that of the checkpoint. A run may use another.
    """
    from farm.engine.training.runs import read_run

    try:
        start = read_run(spec.output)
    except BadInput:  # the training writes it anew
        return
    if start.task != spec.task:
        raise BadOutput(
            spec.output,
            f"the run in it is one of `farm {start.task}`, not `farm {spec.task}`; continue it with "
            "that, or choose another folder with -o",
        )
    seed = spec.plan.seed
    if start.seed not in {None, seed} and made(start.seed):
        raise _refusal("seed", start.seed, seed, spec.output)


def _check_facts(kind: type[Task], facts: "Facts", checkpoint: _Checkpoint, output: str) -> None:
    """Compare facts with those of a checkpoint; of those that differ, the first is named."""
    from farm.engine.training.checkpoint import other_run

    for name, value in facts.items():
        saved = checkpoint.facts.get(name)
        if value == saved:
            continue
        if name in kind.Params.model_fields:
            raise _refusal(name, saved, value, output)
        raise other_run(checkpoint.location, name, saved, value)


def _refusal(name: str, saved: object, given: object, output: str) -> BadParameter:
    from farm.engine.training.checkpoint import SAME_AGAIN, shown

    return BadParameter(
        name, f"the run in {output} was begun with {shown(saved)}, not {shown(given)}; {SAME_AGAIN}"
    )
