"""The composition root: joins registry, executor, ledger and observers into a working farm.

The only module that knows every room. The command line calls it, and so will the service.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from farm.control.clock import SystemClock
from farm.control.controller import Controller, Observer
from farm.control.metrics import Metrics
from farm.errors import UnknownName, UserError
from farm.execution.contexts import check_context
from farm.host.executor import Executor, ExecutorOptions
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import JobSpec
from farm.planning.checking import task_check
from farm.planning.sharing import is_shared_by_all_workers
from farm.settings import Settings

POOL: Final = "ray"
"""The executor of --workers and --address, which gives each worker a unit of its own."""

GANG: Final = "ray-gang"
"""The executor for work that all workers share."""


@dataclass(frozen=True)
class Farm:
    """A farm that is ready for jobs."""

    controller: Controller
    ledger: Ledger


@contextmanager
def open_farm(
    registry: Registry,
    executor: Executor,
    *,
    observers: Sequence[Observer] = (),
    metrics_port: int | None = None,
) -> Iterator[Farm]:
    """Open a farm on the ledger of the settings; close it and its executor at the end.

    metrics_port: serve Prometheus metrics on this port of 127.0.0.1. Raises UserError.
    """
    with ExitStack() as stack:
        ledger = Ledger.open(Settings().ledger_url)
        stack.callback(ledger.close)
        metrics, watching = None, [*observers]
        if metrics_port is not None:
            metrics = _serve_metrics(registry, metrics_port, stack.callback)
            watching.append(metrics)
        check = task_check(registry, partial(check_context, registry))
        controller = Controller(registry, executor, ledger, observers=watching, check=check)
        if metrics:
            metrics.watch(controller.scheduler)
        stack.callback(executor.close)  # first of all: workers may still use the rest
        yield Farm(controller, ledger)


def make_executor(
    registry: Registry, spec: JobSpec, threads: int, pool: ExecutorOptions | None
) -> Executor:
    """Return the executor for a job: in this process where pool is None, else on a cluster.

    Raises UserError where no plugin offers a pool.
    """
    if pool is None:
        from farm.execution.threads import LocalExecutor

        return LocalExecutor(registry, threads)
    task = registry.task(spec.task)
    is_gang = pool.workers != 1 and is_shared_by_all_workers(task, spec)
    name = GANG if is_gang else POOL
    if name not in registry.executors:
        raise _no_executor(registry, name)
    return registry.executors[name](pool)


def _no_executor(registry: Registry, name: str) -> UserError:
    plugin = next((p for p in registry.plugins if p.name == POOL and p.reason), None)
    if plugin:
        return UserError(f"no pool: plugin {POOL} is {plugin.state}: {plugin.reason}")
    return UnknownName("executor", name, registry.executors)


def _serve_metrics(
    registry: Registry, port: int, callback: Callable[[Callable[[], None]], object]
) -> Metrics:
    failed = sum(plugin.state == "failed" for plugin in registry.plugins)
    metrics = Metrics(SystemClock(), failed)
    _, close = metrics.serve(port)
    callback(close)
    return metrics
