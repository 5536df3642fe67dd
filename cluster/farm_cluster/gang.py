"""The gang: workers that share one unit, either a run or one large picture.

Ray Train starts the workers, connects them with torch.distributed and stops them. It asks every
worker twice a second whether it is alive, and ends the attempt if one is not; how long a worker
computes while the others wait for it does not matter. The scheduler retries failures, with however
many workers there are by then; a run resumes from its last checkpoint. All nodes must share the
files of the unit, and have the same kind of device.
"""

import secrets
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final, final

import ray
from ray.exceptions import RayError
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from farm.errors import Cancelled, FarmError, WorkerDied
from farm.execution.runner import IsCancelled, ReportProgress, Runner
from farm.execution.threads import ThreadExecutor
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.messages import Figures, Order, WorkerKind
from farm.storage import output_path, remove_file, remove_folder
from farm_cluster.inventory import inventory
from farm_cluster.member import GangSpec, ProgressRelay, work
from farm_cluster.session import Disconnect, connect, do_nothing, worker_environment
from farm_cluster.slots import Kind, count_workers, kind_of
from farm_cluster.visibility import leave_mark, read_files
from farm_cluster.worker_device import name_device

__all__ = ["Gang", "GangExecutor"]

_POLL_SECONDS: Final = 0.3
_COLLECTIVE_SECONDS: Final = 24 * 3600
"""How long a worker waits for the others to finish computing: a long wait does not mean they died."""

_STOP_SECONDS: Final = 45.0
"""How long workers that were asked to stop may take; after that, their processes are killed."""


@final
class GangExecutor(ThreadExecutor):
    """One worker, which is the whole gang, and one that finishes films."""

    def __init__(self, options: ExecutorOptions) -> None:
        def make() -> tuple[Runner, WorkerKind, str]:
            gang = Gang(options)
            return gang, gang.kind, gang.device

        super().__init__({"gang": make})
        self._options = options
        self._disconnect: Disconnect = do_nothing

    def start(self) -> None:
        """Connect to the cluster and start. Raises UserError if no cluster answers."""
        self._disconnect = connect(self._options)
        super().start()

    def close(self) -> None:
        super().close()
        self._disconnect()
        self._disconnect = do_nothing


@final
class Gang(Runner):
    """Runs each order on all workers of the cluster that this process is connected to.

    Raises UserError if the workers do not fit on the cluster.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        nodes = ray.nodes()
        self.kind = kind_of(nodes)
        self._count = count_workers(nodes, self.kind, options)
        self.device = _device(self.kind, options.address)
        folder = options.plugins_dir
        installed = inventory(Registry.load(folder))
        self._spec = GangSpec(self.kind, self.device, options.threads, folder, installed)

    def run(
        self,
        order: Order,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        _world: object = None,
    ) -> Figures:
        """Run an order on all workers. Raises WorkerDied if one of them is lost."""
        target = output_path(order.unit.target)
        scratch = target.with_name(f".{target.name}.ray")
        relay = ray.remote(num_cpus=0)(ProgressRelay).remote()
        mark = leave_mark(order)
        try:
            with ThreadPoolExecutor(1) as pool:
                fit = pool.submit(self._trainer(order, relay, scratch, mark).fit)
                _relay_progress(fit, relay, report, is_cancelled)
            figures: Figures = ray.get(relay.figures.remote())
        except Exception as error:
            raise _as_farm_error(error) from error
        finally:
            remove_folder(scratch)
            ray.kill(relay)
            if mark:
                remove_file(mark)
        return figures

    def close(self) -> None:
        """Do nothing: the executor owns the cluster."""

    def _trainer(self, order: Order, relay: Any, scratch: Path, mark: Path | None) -> TorchTrainer:
        is_gpu, threads = self.kind == "gpu", self._spec.threads
        files = (*([str(mark)] if mark else []), *read_files(order))
        return TorchTrainer(
            partial(work, order, self._spec, relay, files),
            torch_config=TorchConfig(
                backend="nccl" if is_gpu else "gloo", timeout_s=_COLLECTIVE_SECONDS
            ),
            scaling_config=ScalingConfig(
                num_workers=self._count,
                use_gpu=is_gpu,
                resources_per_worker={"GPU": 1} if is_gpu else {"CPU": threads},
            ),
            run_config=RunConfig(
                name=secrets.token_hex(8),
                storage_path=str(scratch),
                worker_runtime_env={"env_vars": worker_environment(threads)},
            ),
        )


def _device(kind: Kind, address: str | None) -> str:
    """Return the device of the first worker, which all of them must have."""
    if address is None:
        return name_device(kind)
    resources = {"num_gpus": 1} if kind == "gpu" else {"num_cpus": 1}
    try:
        device: str = ray.get(ray.remote(max_retries=0, **resources)(name_device).remote(kind))
    except RayError as error:
        raise _as_farm_error(error) from error
    return device


def _relay_progress(
    fit: "Future[Any]", relay: Any, report: ReportProgress, is_cancelled: IsCancelled
) -> None:
    """Relay progress and cancellation until the workers finish.

    Raises their error, and Cancelled if they had to be ended because they did not stop.
    """
    last, deadline = None, inf
    while not fit.done():
        wait([fit], _POLL_SECONDS)
        should_stop = is_cancelled()
        progress = ray.get(relay.poll.remote(is_cancelled=should_stop))
        if progress and progress != last:
            report(*progress)
            last = progress
        if should_stop:
            deadline = min(deadline, time.monotonic() + _STOP_SECONDS)
        if time.monotonic() > deadline:
            ray.kill(relay)
            wait([fit])
            raise Cancelled
    fit.result()


def _as_farm_error(error: Exception) -> FarmError:
    """Return the farm error behind an error of Ray Train; WorkerDied if there is no other."""
    failures = list(getattr(error, "worker_failures", {}).values())
    causes = [cause for failure in (*failures, error) if (cause := _cause(failure))]
    causes.sort(key=lambda cause: isinstance(cause, WorkerDied))
    if causes:
        return causes[0]
    line = " ".join(str(failures[0] if failures else error).split())
    return WorkerDied("of a gang", line[:300] or type(error).__name__)


def _cause(error: BaseException | None) -> FarmError | None:
    while error is not None and not isinstance(error, FarmError):
        error = getattr(error, "_base_exc", None) or error.__cause__
    return error
