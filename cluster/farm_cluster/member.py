"""The program that each worker of a gang runs."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import ray

from farm.errors import UserError, WorkerDied
from farm.host.registry import Registry
from farm.model.messages import Figures, Order
from farm.storage import output_path, remove_file
from farm_cluster.inventory import difference, inventory

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GangSpec", "ProgressRelay", "work"]


@dataclass(frozen=True)
class GangSpec:
    """What all workers of a gang have in common."""

    kind: Literal["cpu", "gpu"]
    threads: int
    plugins_dir: Path | None
    inventory: tuple[str, ...]


class ProgressRelay:
    """Passes progress from a gang's first worker to its executor, and cancellation back.

    Runs in an actor of its own.
    """

    def __init__(self) -> None:
        self._progress: tuple[float, str, int] | None = None
        self._is_cancelled = False
        self._figures = Figures()

    def report(self, done: float, note: str, tiles: int) -> bool:
        """Store progress; return whether the order is cancelled."""
        self._progress = (done, note, tiles)
        return self._is_cancelled

    def finish(self, figures: Figures) -> None:
        """Store what the unit cost."""
        self._figures = figures

    def poll(self, *, is_cancelled: bool) -> tuple[float, str, int] | None:
        """Store whether the order is cancelled; return the latest progress, None before any."""
        self._is_cancelled = is_cancelled
        return self._progress

    def figures(self) -> Figures:
        """Return what the unit cost."""
        return self._figures


def work(order: Order, spec: GangSpec, relay: Any) -> None:
    """Run the order as one worker of the gang. Raises FarmError."""
    import torch.distributed as dist
    from ray.train import get_context

    from farm.engine.world import World
    from farm.execution.worker import Worker

    registry = Registry.load(spec.plugins_dir)
    rank, size = get_context().get_world_rank(), dist.get_world_size()
    device = _device(spec.kind)
    with _communication():
        _check_inventory(inventory(registry), spec.inventory)
        _check_shared(output_path(order.unit.target).parent, order.token, rank)
    worker = Worker(
        registry, device, spec.threads, World(rank, size, _all_reduce, _broadcast(device))
    )
    client = _RelayClient(relay if rank == 0 else None)
    figures = worker.run(order, client.report, lambda: client.is_cancelled)
    if rank == 0:
        ray.get(relay.finish.remote(figures))
    with _communication():
        dist.barrier()


class _RelayClient:
    """Reports progress to the relay, if there is one. is_cancelled: as of the last report."""

    def __init__(self, relay: Any | None) -> None:
        self._relay = relay
        self.is_cancelled = False

    def report(self, done: float, note: str, tiles: int) -> None:
        if self._relay:
            self.is_cancelled = ray.get(self._relay.report.remote(done, note, tiles))


def _device(kind: str) -> str:
    """Return the device assigned to this worker."""
    if kind == "cpu":
        return "cpu"
    import torch
    from ray.train.torch import get_device

    device = get_device()
    torch.cuda.set_device(device)
    return str(device)


def _all_reduce(tensor: "Tensor") -> None:
    import torch.distributed as dist

    with _communication():
        dist.all_reduce(tensor)


def _broadcast(device: str) -> Callable[..., Mapping[Any, "Tensor"]]:
    """Return a function that copies the tensors of one worker to all workers, to this device."""
    import torch.distributed as dist

    def broadcast(tensors: Mapping[Any, "Tensor"] | None, rank: int) -> Mapping[Any, "Tensor"]:
        box = [tensors and {name: tensor.cpu() for name, tensor in tensors.items()}]
        with _communication():
            dist.broadcast_object_list(box, rank)
        if tensors is not None:
            return tensors
        assert box[0] is not None
        return {name: tensor.to(device) for name, tensor in box[0].items()}

    return broadcast


@contextmanager
def _communication() -> Iterator[None]:
    """Treat a failure of communication as the loss of another worker. Raises WorkerDied."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WorkerDied("of a gang", f"lost contact with another worker: {reason}") from error


def _check_inventory(own: tuple[str, ...], expected: tuple[str, ...]) -> None:
    if own != expected:
        where = f"worker on {ray.util.get_node_ip_address()}"
        raise UserError(f"{where} {difference(own, expected)}")


def _check_shared(folder: Path, token: str, rank: int) -> None:
    """Refuse a folder that some workers cannot see. Raises UserError on all workers."""
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
        raise UserError(
            f"{folder} is not shared: {seen.count(False)} of {len(seen)} workers cannot see it "
            f"(reported by the worker on {ray.util.get_node_ip_address()}); write the output to a "
            "disk that all nodes share"
        )
