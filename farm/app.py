"""The composition root: join registry, executor, ledger and observers into a farm that runs jobs.

The only module that knows every room.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from farm.control.announcing import Observer
from farm.control.clock import SystemClock
from farm.control.controller import Controller
from farm.errors import BadParameter, FarmError, PluginError, UnknownName, UserError
from farm.execution.contexts import check_context, command_context
from farm.execution.own_thread import in_own_thread
from farm.execution.resuming import check_resumed
from farm.host.context import Context
from farm.host.executor import Executor, ExecutorOptions
from farm.host.registry import Registry
from farm.host.task import Run
from farm.host.vetting import validate_params
from farm.ledger import Ledger
from farm.model.job import JobSpec
from farm.model.specs import Sampler
from farm.planning.checking import task_check
from farm.scheduling.policy import Policy
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.control.metrics import Metrics

POOL: Final = "ray"
"""Name of the executor, and of its plugin, for --workers and --address."""


@dataclass(frozen=True)
class Farm:
    """A farm that is ready for jobs."""

    controller: Controller
    ledger: Ledger


@dataclass(frozen=True)
class TrainedRun:
    """A run that a command draws from, in this process. context: outside of any job."""

    task: Run
    context: Context

    def sampler(self, checkpoint: Path) -> Sampler:
        """Return what draws pictures from a checkpoint.

        Raises UserError if the task draws none, BadInput for a damaged checkpoint, and PluginError.
        """
        try:
            return self.task.sampler(checkpoint, self.context)
        except FarmError:
            raise
        except Exception as error:
            reason = f"sampler raised {type(error).__name__}: {error}"
            raise PluginError(self.task.name, reason) from error


def open_run(registry: Registry, task: str, params: Mapping[str, Any]) -> TrainedRun:
    """Return a run that was started with these parameters.

    params: as in the run's folder, where the name and the digest of a file stand for its path. The
    task gets the name. Raises UnknownName if no plugin has the task, UserError if it does not take the parameters.
    """
    kind = registry.task(task)
    try:
        made = kind(validate_params(kind, _with_names(params)))
    except BadParameter as error:
        raise UserError(
            f"the run was started with another version of task {task!r}, which took other "
            f"parameters ({error}); install that version of its plugin"
        ) from error
    if not isinstance(made, Run):
        raise UserError(f"task {task!r} does not train; give the folder of a run")
    return TrainedRun(made, command_context(registry))


def _with_names(value: Any) -> Any:
    """Return a value of a run's parameters with the name of each file in place of its facts."""
    if isinstance(value, Mapping):
        if value.keys() == {"name", "sha256"}:
            return value["name"]
        return {key: _with_names(item) for key, item in value.items()}
    return [_with_names(item) for item in value] if isinstance(value, list) else value


@contextmanager
def open_farm(
    registry: Registry,
    make: Callable[[], Executor],
    *,
    observers: Sequence[Observer] = (),
    metrics_port: int | None = None,
    policy: Policy = Policy(),  # noqa: B008 - frozen
) -> Iterator[Farm]:
    """Open the ledger from the settings and yield a farm; finally close ledger and executor.

    make: creates the executor, once everything else is open. metrics_port: serve Prometheus metrics
    on this port of 127.0.0.1. policy: of the scheduler. Raises UserError if the ledger cannot be opened
    or the port is taken.
    """
    with ExitStack() as stack:
        ledger = Ledger.open(Settings().ledger_url)
        stack.callback(ledger.close)
        metrics = None
        if metrics_port is not None:
            metrics = _serve_metrics(registry, metrics_port, stack)
            observers = [*observers, metrics]
        farm = _join(registry, make, ledger, observers=observers, policy=policy, stack=stack)
        if metrics:
            metrics.watch(farm.controller.scheduler, ledger, farm.controller.planning)
        yield farm


@contextmanager
def open_service(
    registry: Registry,
    make: Callable[[], Executor],
    ledger_url: str,
    *,
    observers: Sequence[Observer] = (),
    admit: Callable[[JobSpec], None] = lambda _: None,
) -> Iterator[Farm]:
    """Open a ledger for this service alone, and yield a farm; finally close ledger and executor.

    Jobs wait if there are no workers. make: creates the executor, once the ledger is held. admit: raises
    UserError for a job that the service does not allow, whenever one is planned. Raises LedgerHeld if
    another service has the ledger, and UserError if it cannot be opened.
    """
    with ExitStack() as stack:
        ledger = Ledger.open(ledger_url)
        stack.callback(ledger.close)
        ledger.hold(SystemClock().time())
        policy = Policy(waits_for_workers=True)
        yield _join(
            registry, make, ledger, observers=observers, policy=policy, stack=stack, admit=admit
        )


def _join(
    registry: Registry,
    make: Callable[[], Executor],
    ledger: Ledger,
    *,
    observers: Sequence[Observer],
    policy: Policy,
    stack: ExitStack,
    admit: Callable[[JobSpec], None] = lambda _: None,
) -> Farm:
    """Return a farm on an open ledger, which the stack closes."""
    executor = make()
    stack.callback(executor.close)
    check_task = in_own_thread(task_check(registry, partial(check_context, registry)))

    def check(spec: JobSpec) -> Sequence[str]:
        admit(spec)
        return check_task(spec)

    controller = Controller(
        registry,
        executor,
        ledger,
        observers=observers,
        check=check,
        check_resumed=in_own_thread(partial(check_resumed, registry)),
        policy=policy,
    )
    stack.callback(controller.close)
    return Farm(controller, ledger)


def make_executor(registry: Registry, pool: ExecutorOptions | None) -> Executor:
    """Return an executor: in this process if pool is None, else on a cluster.

    Raises UserError if no plugin provides it.
    """
    if pool is None:
        from farm.execution.threads import LocalExecutor

        return LocalExecutor(registry)
    if POOL not in registry.executors:
        raise _missing_pool(registry)
    return registry.executors[POOL](pool)


def _missing_pool(registry: Registry) -> UserError:
    for plugin in registry.plugins:
        if plugin.name == POOL and plugin.reason:
            return UserError(
                f"--workers and --address need plugin {POOL}, which is {plugin.state}: "
                f"{plugin.reason}; see `{registry.listing}`"
            )
    return UnknownName("executor", POOL, registry.executors)


def make_metrics(registry: Registry) -> "Metrics":
    """Return the metrics of a farm with these plugins."""
    from farm.control.metrics import Metrics

    failed_plugins = sum(plugin.state == "failed" for plugin in registry.plugins)
    plugins = {task: plugin.name for plugin in registry.plugins for task in plugin.tasks}
    return Metrics(SystemClock(), plugins, failed_plugins)


def _serve_metrics(registry: Registry, port: int, stack: ExitStack) -> "Metrics":
    metrics = make_metrics(registry)
    _, close = metrics.serve(port)
    stack.callback(close)
    return metrics
