"""A run on several workers at once, under Ray Train: the same task, loop and checkpoints as on one.

Ray Train brings the workers up, joins them for torch.distributed and tears them down. It is asked
for nothing else. Checkpoints are the run's own, in its folder, so a run may be begun on one worker
and gone on with on four; what failed is tried again by whoever asked, from the last checkpoint.
Needs a folder that all nodes share, and says so where it is not.
"""

import secrets
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import ray

from farm.errors import FarmError, UserError, WorkerDied
from farm.executor import Order
from farm.storage import output_path, remove_file, remove_folder
from farm.work import Train

__all__ = ["Workers", "train_together"]

_COLLECTIVE_SECONDS: Final = 120
"""How long a worker waits for the others before it takes them for dead."""


@dataclass(frozen=True)
class Workers:
    """Who trains: how many, on what, with so many cores each."""

    count: int
    kind: Literal["cpu", "gpu"] = "cpu"
    threads: int = 1
    plugins_dir: str | None = None


def train_together(order: Order, workers: Workers) -> None:
    """Do what a Train order asks on several workers of the connected cluster, to its end.

    The order's task must be a Run; its batch is that of all workers together. Raises UserError
    where the request is wrong or Ray Train is not installed, WorkerDied where a worker was lost.
    """
    trainer, run_config, scaling, torch_config = _ray_train()
    scratch = output_path(order.unit.target).parent / f".ray-{order.token}"
    resources: dict[str, float] = {"CPU": workers.threads}
    if workers.kind == "gpu":
        resources["GPU"] = 1
    try:
        trainer(
            partial(_work, order, workers),
            torch_config=torch_config(
                backend="nccl" if workers.kind == "gpu" else "gloo", timeout_s=_COLLECTIVE_SECONDS
            ),
            scaling_config=scaling(
                num_workers=workers.count,
                use_gpu=workers.kind == "gpu",
                resources_per_worker=resources,
            ),
            run_config=run_config(name=secrets.token_hex(8), storage_path=str(scratch)),
        ).fit()
    except Exception as error:
        raise _told(error) from error
    finally:
        remove_folder(scratch)


def _ray_train() -> tuple[Any, Any, Any, Any]:
    """Return Ray Train's classes. Raises UserError where it is not installed, or too old."""
    try:
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer
        from ray.train.v2.api.exceptions import TrainingFailedError  # noqa: F401 - not in version 1
    except ImportError as error:
        raise UserError(
            f"training on several workers needs Ray Train 2 ({error}); run "
            "pip install 'ray[train]>=2.54', or train on one: --workers 1"
        ) from error
    return TorchTrainer, RunConfig, ScalingConfig, TorchConfig


def _told(error: BaseException) -> FarmError:
    """Return the farm error that a worker raised, or that one was lost."""
    raised = list(getattr(error, "worker_failures", {}).values())
    for failure in (*raised, error):
        cause: BaseException | None = failure
        while cause is not None:
            if isinstance(cause, FarmError):
                return cause
            cause = getattr(cause, "_base_exc", None) or cause.__cause__
    line = " ".join(str(raised[0] if raised else error).split())
    return WorkerDied("of a run", line[:300] or type(error).__name__)


def _work(order: Order, workers: Workers) -> None:
    """Train as one of the workers; runs in each of them."""
    import torch.distributed as dist
    from ray.train import get_context

    from farm.engine.context import FrameContext
    from farm.engine.device import pick_device, set_up
    from farm.engine.networks import NetworkCache
    from farm.engine.training import World
    from farm.media import read_still
    from farm.registry import Registry
    from farm.vetting import validate_params

    assert isinstance(order.unit.work, Train)
    device = pick_device() if workers.kind == "gpu" else "cpu"
    set_up(device, workers.threads)
    registry = Registry.load(Path(workers.plugins_dir) if workers.plugins_dir else None)
    context = FrameContext(
        device=device,
        plan=order.plan,
        networks=NetworkCache(registry.networks, device),
        frame=order.unit.name,
        tell=lambda _done, _note, _tiles: None,
        is_cancelled=lambda: False,
        read=lambda source: read_still(source).pixels,
    )
    rank = get_context().get_world_rank()
    context.world = World(rank, workers.count, dist.all_reduce)
    folder = output_path(order.unit.target).parent
    _check_shared(folder, order.token, rank)
    offered: Any = registry.task(order.task)
    offered(validate_params(offered, order.params)).train(order.unit.work.inputs, folder, context)
    dist.barrier()


def _check_shared(folder: Path, token: str, rank: int) -> None:
    """Refuse a folder that not all workers see. Raises UserError on all of them."""
    import torch.distributed as dist

    mark = folder / f".farm-{token}.mark"
    if rank == 0:
        folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
    dist.barrier()
    seen: list[bool] = [False] * dist.get_world_size()
    dist.all_gather_object(seen, mark.is_file())
    if rank == 0:
        remove_file(mark)
    if not all(seen):
        node = ray.util.get_node_ip_address()
        raise UserError(
            f"{folder} is not shared: {seen.count(False)} of {len(seen)} workers do not see it "
            f"(this one is on {node}); put the run on a disk that all nodes share"
        )
