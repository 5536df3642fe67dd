"""Workers that do one unit together: a run, or one large picture. Ray Train gathers them.

Ray Train brings the workers up, joins them for torch.distributed and tears them down. It is asked
for nothing else: what failed is tried again by the scheduler, a run from its last checkpoint, with
whatever number of workers there is then. The unit's folder must be one that all nodes share.
"""

import secrets
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Any, Final, final

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from farm.errors import FarmError, UserError, WorkerDied
from farm.execution.threads import ThreadExecutor
from farm.execution.worker import ReportProgress, Runner
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.messages import Figures, Order, WorkerKind
from farm.storage import output_path, remove_folder
from farm_cluster.inventory import inventory
from farm_cluster.member import Membership, ProgressRelay, work
from farm_cluster.session import connect, worker_environment
from farm_cluster.slots import kind_of, slots

__all__ = ["Gang", "GangExecutor"]

_LISTEN_SECONDS: Final = 0.3
_COLLECTIVE_SECONDS: Final = 120
"""How long a worker waits for the others before it takes them for dead."""


@final
class GangExecutor(ThreadExecutor):
    """One worker, which is all of the cluster's at once, and one that finishes films."""

    def __init__(self, options: ExecutorOptions) -> None:
        def make() -> tuple[Runner, WorkerKind]:
            gang = Gang(options)
            return gang, gang.kind

        super().__init__({"gang": make})
        self._options, self._is_owner = options, False

    def start(self) -> None:
        """Connect to the cluster and start. Raises UserError where none answers."""
        self._is_owner = connect(self._options)
        super().start()

    def close(self) -> None:
        super().close()
        if self._is_owner:
            self._is_owner = False
            ray.shutdown()


@final
class Gang(Runner):
    """Runs each order on every worker of the cluster that this process is connected to.

    Raises UserError where the cluster has no place for as many workers as are asked for.
    """

    def __init__(self, options: ExecutorOptions) -> None:
        nodes = ray.nodes()
        self.kind = kind_of(nodes)
        found = len(slots(nodes, self.kind, options.threads))
        self._count = options.workers or found
        if not 0 < self._count <= found:
            raise UserError(
                f"{self._count or 1} workers of {options.threads} threads are asked for, and the "
                f"cluster has places for {found}; give a smaller --workers or --threads"
            )
        folder = options.plugins_dir
        self._membership = Membership(
            self.kind, options.threads, folder, inventory(Registry.load(folder))
        )

    def run(
        self, order: Order, report: ReportProgress, is_cancelled: Callable[[], bool]
    ) -> Figures:
        """Do what an order asks on all workers. Raises WorkerDied where one of them was lost."""
        target = output_path(order.unit.target)
        scratch = target.with_name(f".{target.name}.ray")
        ear = ray.remote(num_cpus=0)(ProgressRelay).remote()
        try:
            with ThreadPoolExecutor(1) as pool:
                working = pool.submit(self._trainer(order, ear, scratch).fit)
                _listen(working, ear, report, is_cancelled)
            figures: Figures = ray.get(ear.ended.remote())
        except Exception as error:
            raise _told(error) from error
        finally:
            remove_folder(scratch)
            ray.kill(ear)
        return figures

    def close(self) -> None:
        """Close nothing: the cluster is the executor's."""

    def _trainer(self, order: Order, ear: Any, scratch: Path) -> TorchTrainer:
        is_gpu, threads = self.kind == "gpu", self._membership.threads
        return TorchTrainer(
            partial(work, order, self._membership, ear),
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


def _listen(
    working: "Future[Any]", ear: Any, report: ReportProgress, is_cancelled: Callable[[], bool]
) -> None:
    """Pass on progress and the wish to stop until the work has ended. Raises what it raised."""
    last = None
    while not working.done():
        wait([working], _LISTEN_SECONDS)
        heard = ray.get(ear.exchange.remote(is_cancelled=is_cancelled()))
        if heard != last:
            report(*heard)
            last = heard
    working.result()


def _told(error: Exception) -> FarmError:
    """Return the farm error that a worker raised first, or that one was lost."""
    raised = list(getattr(error, "worker_failures", {}).values())
    found = [cause for failure in (*raised, error) if (cause := _cause(failure))]
    found.sort(key=lambda cause: isinstance(cause, WorkerDied))
    if found:
        return found[0]
    line = " ".join(str(raised[0] if raised else error).split())
    return WorkerDied("of a gang", line[:300] or type(error).__name__)


def _cause(error: BaseException | None) -> FarmError | None:
    while error is not None and not isinstance(error, FarmError):
        error = getattr(error, "_base_exc", None) or error.__cause__
    return error
