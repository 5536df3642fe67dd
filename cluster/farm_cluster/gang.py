"""The gang: workers that share one unit, either a run or one large picture.

Ray Train starts the workers, connects them with torch.distributed and stops them. The scheduler
retries failures, with however many workers there are by then; a run resumes from its last
checkpoint. All nodes must share the folder of the unit.
"""

import secrets
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from farm.errors import FarmError, UserError, WorkerDied
from farm.execution.runner import IsCancelled, ReportProgress, Runner
from farm.execution.threads import ThreadExecutor
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.messages import Figures, Order, WorkerKind
from farm.storage import output_path, remove_folder
from farm_cluster.inventory import inventory
from farm_cluster.member import GangSpec, ProgressRelay, work
from farm_cluster.session import connect, worker_environment
from farm_cluster.slots import kind_of, slots

__all__ = ["Gang", "GangExecutor"]

_POLL_SECONDS: Final = 0.3
_COLLECTIVE_SECONDS: Final = 120
"""How long a worker waits for the others before it reports them as lost."""


@final
class GangExecutor(ThreadExecutor):
    """One worker, which is the whole gang, and one that finishes films."""

    def __init__(self, options: ExecutorOptions) -> None:
        def make() -> tuple[Runner, WorkerKind]:
            gang = Gang(options)
            return gang, gang.kind

        super().__init__({"gang": make})
        self._options, self._is_owner = options, False

    def start(self) -> None:
        """Connect to the cluster and start. Raises UserError if no cluster answers."""
        self._is_owner = connect(self._options)
        super().start()

    def close(self) -> None:
        super().close()
        if self._is_owner:
            self._is_owner = False
            ray.shutdown()


@final
class Gang(Runner):
    """Runs each order on all workers of the cluster that this process is connected to.

    Raises UserError if the workers do not fit on the cluster.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        nodes = ray.nodes()
        self.kind = kind_of(nodes)
        available = len(slots(nodes, self.kind, options.threads))
        self._count = options.workers or available
        if not 0 < self._count <= available:
            raise UserError(
                f"the cluster has no room for {self._count or 1} workers with --threads "
                f"{options.threads}; at most {available} fit: lower --workers or --threads"
            )
        folder = options.plugins_dir
        self._spec = GangSpec(self.kind, options.threads, folder, inventory(Registry.load(folder)))

    def run(self, order: Order, report: ReportProgress, is_cancelled: IsCancelled) -> Figures:
        """Run an order on all workers. Raises WorkerDied if one of them is lost."""
        target = output_path(order.unit.target)
        scratch = target.with_name(f".{target.name}.ray")
        relay = ray.remote(num_cpus=0)(ProgressRelay).remote()
        try:
            with ThreadPoolExecutor(1) as pool:
                fit = pool.submit(self._trainer(order, relay, scratch).fit)
                _relay_progress(fit, relay, report, is_cancelled)
            figures: Figures = ray.get(relay.figures.remote())
        except Exception as error:
            raise _as_farm_error(error) from error
        finally:
            remove_folder(scratch)
            ray.kill(relay)
        return figures

    def close(self) -> None:
        """Do nothing: the executor owns the cluster."""

    def _trainer(self, order: Order, relay: Any, scratch: Path) -> TorchTrainer:
        is_gpu, threads = self.kind == "gpu", self._spec.threads
        return TorchTrainer(
            partial(work, order, self._spec, relay),
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


def _relay_progress(
    fit: "Future[Any]", relay: Any, report: ReportProgress, is_cancelled: IsCancelled
) -> None:
    """Relay progress and cancellation until the workers finish. Raises their error."""
    last = None
    while not fit.done():
        wait([fit], _POLL_SECONDS)
        progress = ray.get(relay.poll.remote(is_cancelled=is_cancelled()))
        if progress and progress != last:
            report(*progress)
            last = progress
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
