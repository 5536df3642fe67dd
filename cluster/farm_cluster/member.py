"""The program that each worker of a gang runs."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import ray
from ray.exceptions import RayError

from farm.errors import UserError, WorkerDied
from farm.host.registry import Registry
from farm.model.messages import Figures, Order, TrainingFigures
from farm_cluster.inventory import difference, inventory
from farm_cluster.slots import Kind
from farm_cluster.visibility import MARK, not_shared
from farm_cluster.worker_device import name_device

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["GangSpec", "ProgressRelay", "work"]

_WATCH_SECONDS: Final = 1.0

Progress = tuple[float, str, int, TrainingFigures | None]
"""Arguments of ReportProgress."""


@dataclass(frozen=True)
class GangSpec:
    """What all workers of a gang have in common."""

    kind: Kind
    device: str
    threads: int
    plugins_dir: Path | None
    inventory: tuple[str, ...]


class ProgressRelay:
    """Passes progress from a gang's first worker to its executor, and cancellation back.

    Runs in an actor of its own.
    """

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._is_cancelled = False
        self._figures = Figures()

    def report(self, progress: Progress) -> bool:
        """Store progress; return whether the order is cancelled."""
        self._progress = progress
        return self._is_cancelled

    def finish(self, figures: Figures) -> None:
        """Store what the unit cost."""
        self._figures = figures

    def poll(self, *, is_cancelled: bool) -> Progress | None:
        """Store whether the order is cancelled; return the latest progress, None before any."""
        self._is_cancelled = is_cancelled
        return self._progress

    def is_here(self) -> bool:
        """Return True, which shows that the relay is alive."""
        return True

    def figures(self) -> Figures:
        """Return what the unit cost."""
        return self._figures


def work(order: Order, spec: GangSpec, relay: Any, files: Sequence[str]) -> None:
    """Run the order as one worker of the gang. Raises FarmError.

    files: what every worker must see. The process ends itself when the relay is gone.
    """
    import torch.distributed as dist
    from ray.train import get_context

    from farm.engine.world import World
    from farm.execution.worker import Worker

    threading.Thread(target=_end_with, args=(relay,), daemon=True).start()
    registry = Registry.load(spec.plugins_dir)
    rank, size = get_context().get_world_rank(), dist.get_world_size()
    _check_inventory(inventory(registry), spec.inventory)
    _check_device(spec)
    device = _device(spec.kind)
    with _communication():
        _check_shared(files)
    worker = Worker(registry, device)
    world = World(rank, size, _all_reduce, _broadcast(device), _begin_all_reduce)
    client = _RelayClient(relay if rank == 0 else None)
    figures = worker.run(order, client.report, lambda: client.is_cancelled, world)
    if rank == 0:
        ray.get(relay.finish.remote(figures))
    with _communication():
        dist.barrier()


class _RelayClient:
    """Reports progress to the relay, if there is one. is_cancelled: as of the last report."""

    def __init__(self, relay: Any | None) -> None:
        self._relay = relay
        self.is_cancelled = False

    def report(
        self, done: float, note: str, tiles: int, training: TrainingFigures | None = None
    ) -> None:
        if self._relay:
            progress = (done, note, tiles, training)
            self.is_cancelled = ray.get(self._relay.report.remote(progress))


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


def _begin_all_reduce(tensor: "Tensor") -> Callable[[], object]:
    import torch.distributed as dist

    with _communication():
        sum_ = dist.all_reduce(tensor, async_op=True)

    def wait() -> None:
        with _communication():
            sum_.wait()

    return wait


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


def _check_device(spec: GangSpec) -> None:
    where = f"the worker on {ray.util.get_node_ip_address()}"
    try:
        own = name_device(spec.kind)
    except UserError as error:
        raise UserError(f"{where} cannot start: {error}") from error
    if own != spec.device:
        raise UserError(
            f"{where} computes on {own!r} and the gang on {spec.device!r}, which do not give equal "
            "pictures; use nodes of one kind"
        )


def _check_shared(files: Sequence[str]) -> None:
    """Refuse files that some workers cannot see. Raises UserError on all workers."""
    import torch.distributed as dist

    unseen = next((path for path in files if not Path(path).exists()), "")
    seen: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(seen, (unseen, f"the worker on {ray.util.get_node_ip_address()}"))
    if missing := [path for path, _ in seen if path]:
        path = Path(missing[0])
        name = str(path.parent if path.suffix == MARK else path)
        raise UserError(not_shared(name, {place for path, place in seen if path}))


def _end_with(relay: Any) -> None:
    """Wait until the relay is gone, then end this process, even if it waits for other workers."""
    while True:
        try:
            ray.get(relay.is_here.remote())
        except RayError:
            os._exit(1)
        time.sleep(_WATCH_SECONDS)
