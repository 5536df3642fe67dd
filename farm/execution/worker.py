"""Runs orders on one device, and turns the outcome of an attempt into a message.

Knows nothing about schedules, processes or clusters.
"""

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from farm import storage
from farm.errors import Cancelled, OrderRefused, UserError
from farm.execution.contexts import ContextFactory, import_engine
from farm.execution.failures import classify, farm_call, output_errors, plugin_errors
from farm.execution.finishing import Finisher
from farm.execution.heap import freed_memory_is_given_back
from farm.execution.outage_scope import with_outage_scope
from farm.execution.rendering import Renderer
from farm.execution.runner import IsCancelled, ReportProgress, Runner
from farm.host.registry import Registry
from farm.host.task import Task
from farm.host.vetting import validate_params
from farm.model.messages import Figures, Hold, Order, UnitCancelled, UnitFailed, UnitSucceeded
from farm.model.work import Render, Train

if TYPE_CHECKING:
    from farm.engine.world import World

__all__ = ["Worker", "attempt"]

_CACHED_TASKS: Final = 8


class Worker:
    """Runs orders on one device, and keeps tasks and networks loaded between them.

    Used by one thread at a time. device: None for the best one available. Each order is run with as
    many threads as its plan says.
    """

    def __init__(self, registry: Registry, device: str | None = None) -> None:
        import_engine()
        from farm.engine.device import pick_device

        self.device = device or pick_device()
        self._registry = registry
        self._make_task = lru_cache(_CACHED_TASKS)(self._make_task_uncached)
        self._contexts = ContextFactory(registry, self.device)
        self._renderer, self._finisher = Renderer(self._contexts), Finisher()

    def close(self) -> None:
        """Close open films."""
        self._renderer.close()

    @freed_memory_is_given_back()
    def run(
        self,
        order: Order,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        world: "World | None" = None,
    ) -> Figures:
        """Do the work of the order's unit. Raises FarmError only, Cancelled included.

        world: the workers that run the order together, of which the first writes; None for this one.
        """
        report = farm_call(report, self.device)
        is_cancelled = farm_call(is_cancelled, self.device)
        match order.unit.work:
            case Render() as work:
                task, params = self._load_task(order)
                return self._renderer.run(
                    order, work, task, params, report=report, is_cancelled=is_cancelled, world=world
                )
            case Train() as work:
                return self._train(order, work, report, is_cancelled, world)
            case _:
                return self._finisher.run(order, report, is_cancelled)

    def _train(
        self,
        order: Order,
        work: Train,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        world: "World | None",
    ) -> Figures:
        from farm.execution.run_folder import open_run_folder
        from farm.execution.training import train

        task, params = self._load_task(order)
        location, result = storage.parent(order.unit.target), storage.name(order.unit.target)
        with (
            output_errors(order.unit.target),
            open_run_folder(location, result, world.rank if world else 0) as folder,
        ):
            context = self._contexts.make(
                order.plan,
                order.unit.name,
                report,
                is_cancelled,
                files=self._contexts.known_files(order.files),
                world=world,
                follow=folder.follow,
            )
            return train(order, work, task, params, context, folder)

    def _load_task(self, order: Order) -> tuple[Task, dict[str, object]]:
        """Return the order's task and its parameters with defaults, and set the device up."""
        from farm.engine.device import set_up

        set_up(self.device, order.plan.threads)
        with plugin_errors(order.task, self.device):
            return self._make_task(order.task, json.dumps(order.params, sort_keys=True))

    def _make_task_uncached(self, name: str, params: str) -> tuple[Task, dict[str, object]]:
        """Return a task and its parameters. Raises OrderRefused if the job's no longer fit."""
        try:
            task = self._registry.task(name)
        except UserError as error:
            reason = "no plugin offers it; install it and restart the farm; see `farm plugins`"
            raise OrderRefused(name, reason) from error
        try:
            validated = validate_params(task, json.loads(params))
        except UserError as error:
            reason = f"the installed version of its plugin refuses the job's parameters: {error}"
            raise OrderRefused(
                name, f"{reason}; install the version that the job began with and restart the farm"
            ) from error
        return task(validated), validated.model_dump(mode="json")


def attempt(
    runner: Runner,
    name: str,
    order: Order,
    report: ReportProgress,
    is_cancelled: IsCancelled,
    *,
    world: "World | None" = None,
) -> UnitSucceeded | UnitFailed | UnitCancelled:
    """Run an order and return how it ended. Raises nothing.

    What another attempt has written since this one began is not replaced. name: of the worker.
    world: the workers that run the order together; None for this one.
    """
    try:
        with storage.fenced(order.unit.target):
            figures = runner.run(order, report, is_cancelled, world)
    except Cancelled:
        return UnitCancelled(name, order.token, storage.take_transfers())
    except BaseException as error:  # noqa: BLE001 - every error is reported, or the job would hang
        failure = classify(error)
        if failure.hold is Hold.STORAGE and not is_cancelled():
            failure = with_outage_scope(failure, error, order.unit.target)
        return UnitFailed(name, order.token, failure, storage.take_transfers())
    return UnitSucceeded(name, order.token, figures, storage.take_transfers())
