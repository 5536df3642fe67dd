"""Carries out an order to train."""

from farm.errors import PluginError
from farm.execution.failures import full_disk_errors, output_errors, plugin_errors
from farm.execution.timing import timed
from farm.host.context import Context
from farm.host.task import Run, Task
from farm.model.messages import Figures, Order
from farm.model.work import Train


def train(order: Order, work: Train, task: Task, context: Context) -> Figures:
    """Train on the inputs, and check that the result file is there. Raises FarmError only."""
    from farm.storage import output_path, sha256_file

    target = output_path(order.unit.target)
    seconds: dict[str, float] = {}
    if not isinstance(task, Run):
        raise PluginError(order.task, "is not a Run and cannot train")
    with output_errors(order.unit.target):
        target.parent.mkdir(parents=True, exist_ok=True)
    with (
        timed(seconds, "compute"),
        plugin_errors(order.task, str(context.device)),
        full_disk_errors(order.unit.target),
    ):
        task.train(work.inputs, target.parent, context)
        if context.world.rank != 0:
            return Figures()
        if not target.is_file():
            raise PluginError(order.task, f"train returned without writing {target}")
    return Figures(seconds=seconds, target_sha256=sha256_file(target))
