"""Carries out an order to train."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from farm.errors import BadInput, FarmError, PluginError, StorageFailed
from farm.execution.failures import full_disk_errors, plugin_errors
from farm.execution.provenance import digested_params
from farm.execution.run_folder import RunFolder
from farm.execution.timing import timed
from farm.host.context import Context
from farm.host.task import Run, Task
from farm.model.messages import Figures, Order
from farm.model.work import Train
from farm.storage import name, open_whole, remove_file, sha256_file


def train(  # noqa: PLR0917 - an order and what runs it
    order: Order,
    work: Train,
    task: Task,
    params: Mapping[str, object],
    context: Context,
    folder: RunFolder,
) -> Figures:
    """Train on the inputs, and check that the result file is there. Raises FarmError only.

    params: of the task, with defaults.
    """
    target = folder.path / name(order.unit.target)
    seconds: dict[str, float] = {}
    if not isinstance(task, Run):
        raise PluginError(order.task, "is not a Run and cannot train")
    with (
        timed(seconds, "compute"),
        plugin_errors(order.task, str(context.device)),
        full_disk_errors(order.unit.target),
    ):
        if context.world.rank == 0:
            _describe(folder.path, task, params, context, order.plan.seed, work.inputs)
            folder.push()
        try:
            task.train(work.inputs, folder.path, context)
        except BaseException as error:
            _forget(folder.path)
            if not isinstance(error, StorageFailed):
                with suppress(FarmError):
                    folder.push()
            raise
        if context.world.rank != 0:
            return Figures()
        if not target.is_file():
            raise PluginError(order.task, f"train returned without writing {order.unit.target}")
        folder.push()
    return Figures(seconds=seconds, target_sha256=sha256_file(target))


def _forget(folder: Path) -> None:
    """Remove the description of a run that failed before it began, so that the folder is free."""
    from farm.engine.training.runs import FACTS

    if [path.name for path in folder.iterdir()] == [FACTS]:
        remove_file(folder / FACTS)


def _describe(  # noqa: PLR0917 - what is written
    folder: Path,
    task: Run,
    params: Mapping[str, object],
    context: Context,
    seed: int,
    inputs: Sequence[str],
) -> None:
    """Write down what the run in a folder was started with.

    If it resumes from a checkpoint, only the parameters that may change then are written anew, such
    as its steps. seed: as the user gave it; the run's own is derived from it.
    """
    import farm
    from farm.engine.training.runs import FACTS, checkpoints

    path, named = folder / FACTS, digested_params(task, params, context)
    if path.exists() and (made := checkpoints(folder)):
        # of a damaged file, the training says what is wrong
        with suppress(BadInput, ValueError, LookupError, TypeError):
            _describe_anew(path, named, [*made.values()][-1])
        return
    facts = {
        "task": task.name,
        "inputs": [name(text.rstrip("/")) for text in inputs],
        "params": named,
        "seed": seed,
        "farm": farm.__version__,
    }
    _write(path, facts)


def _describe_anew(path: Path, params: Mapping[str, object], checkpoint: Path) -> None:
    """Write down the parameters with which a run goes on, apart from its facts, which stay."""
    from farm.engine.training.checkpoint import read_facts

    started, fixed = json.loads(path.read_bytes()), read_facts(checkpoint)
    free = {name: value for name, value in params.items() if name not in fixed}
    _write(path, {**started, "params": {**started["params"], **free}})


def _write(path: Path, facts: Mapping[str, object]) -> None:
    with open_whole(path) as file:
        file.write(json.dumps(facts, indent=1).encode())
