"""What runs in each worker of a gang: the order, with the others as its world."""

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

__all__ = ["Membership", "ProgressRelay", "work"]


@dataclass(frozen=True)
class Membership:
    """What every worker of a gang must be like."""

    kind: Literal["cpu", "gpu"]
    threads: int
    plugins_dir: Path | None
    inventory: tuple[str, ...]


class ProgressRelay:
    """Stands between a gang's first worker and whoever gave the order; an actor of its own."""

    def __init__(self) -> None:
        self._heard = (0.0, "", 0)
        self._is_cancelled = False
        self._figures = Figures()

    def tell(self, done: float, note: str, tiles: int) -> bool:
        """Hear progress; return whether to stop."""
        self._heard = (done, note, tiles)
        return self._is_cancelled

    def end(self, figures: Figures) -> None:
        self._figures = figures

    def exchange(self, *, is_cancelled: bool) -> tuple[float, str, int]:
        """Hear whether to stop; return the latest progress."""
        self._is_cancelled = is_cancelled
        return self._heard

    def ended(self) -> Figures:
        return self._figures


def work(order: Order, membership: Membership, ear: Any) -> None:
    """Run the order as one of the gang. Raises FarmError."""
    import torch.distributed as dist
    from ray.train import get_context

    from farm.engine.world import World
    from farm.execution.worker import Worker

    registry = Registry.load(membership.plugins_dir)
    rank, size = get_context().get_world_rank(), dist.get_world_size()
    device = _device(membership.kind)
    with _others():
        _check_alike(inventory(registry), membership.inventory)
        _check_shared(output_path(order.unit.target).parent, order.token, rank)
    worker = Worker(
        registry, device, membership.threads, World(rank, size, _all_reduce, _broadcast(device))
    )
    mouth = _RelayClient(ear if rank == 0 else None)
    figures = worker.run(order, mouth.tell, lambda: mouth.is_cancelled)
    if rank == 0:
        ray.get(ear.end.remote(figures))
    with _others():
        dist.barrier()


class _RelayClient:
    """How a worker tells; only the first one does. is_cancelled: as of the last telling."""

    def __init__(self, ear: Any) -> None:
        self._ear = ear
        self.is_cancelled = False

    def tell(self, done: float, note: str, tiles: int) -> None:
        if self._ear:
            self.is_cancelled = ray.get(self._ear.tell.remote(done, note, tiles))


def _device(kind: str) -> str:
    """Return the device that is this worker's own among those of its node."""
    if kind == "cpu":
        return "cpu"
    import torch
    from ray.train.torch import get_device

    device = get_device()
    torch.cuda.set_device(device)
    return str(device)


def _all_reduce(tensor: "Tensor") -> None:
    import torch.distributed as dist

    with _others():
        dist.all_reduce(tensor)


def _broadcast(device: str) -> Callable[..., Mapping[Any, "Tensor"]]:
    """Return what gives all workers the tensors that one of them made, on this device."""
    import torch.distributed as dist

    def tell(made: Mapping[Any, "Tensor"] | None, rank: int) -> Mapping[Any, "Tensor"]:
        box = [made and {name: tensor.cpu() for name, tensor in made.items()}]
        with _others():
            dist.broadcast_object_list(box, rank)
        if made is not None:
            return made
        assert box[0] is not None
        return {name: tensor.to(device) for name, tensor in box[0].items()}

    return tell


@contextmanager
def _others() -> Iterator[None]:
    """Take what fails between workers for the loss of one. Raises WorkerDied."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WorkerDied("of a gang", f"the others do not hear of it any more: {reason}") from error


def _check_alike(own: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    if own != wanted:
        where = f"worker on {ray.util.get_node_ip_address()}"
        raise UserError(f"{where} {difference(own, wanted)}")


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
        raise UserError(
            f"{folder} is not shared: {seen.count(False)} of {len(seen)} workers do not see it "
            f"(this one is on {ray.util.get_node_ip_address()}); put the output on a disk that "
            "all nodes share"
        )
