"""The group that workers form while they share a unit: one process each, by torch.distributed.

A group lasts for one unit. The first worker serves a store, at a port that the system chooses, where
all of them meet. Processes stay what they were: their networks are loaded before and after.
"""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, final

import psutil

from farm.errors import WorkerDied
from farm.execution.runner import IsCancelled, ReportProgress, Runner
from farm.execution.worker import Worker
from farm.model.messages import Figures, Order
from farm_cluster.exchange import all_reduce, begin_all_reduce, broadcast_to, communication

if TYPE_CHECKING:
    from torch._C._distributed_c10d import TCPStore

    from farm.engine.world import World

__all__ = ["GroupMember", "Seat", "leave", "serve_store"]

COLLECTIVE_SECONDS: Final = 24 * 3600
"""How long a worker waits for the others to finish computing: a long wait does not mean they died."""

_MEET_SECONDS: Final = 120


@dataclass(frozen=True)
class Seat:
    """A worker's place in a group of size workers, which meet at the first one's host and port."""

    rank: int
    size: int
    host: str
    port: int


@final
class GroupMember(Runner):
    """Runs an order as one of the workers that share it.

    store: the group's, on the first worker; None on the others. host: this process's address. The
    process must leave() the group when the order has ended.
    """

    def __init__(self, worker: Worker, seat: Seat, store: "TCPStore | None", host: str) -> None:
        self._worker, self._seat, self._store, self._host = worker, seat, store, host

    def run(
        self,
        order: Order,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        _world: "World | None" = None,
    ) -> Figures:
        """Do this worker's part. Raises FarmError only; WorkerDied if another worker is lost."""
        with communication():
            world = _join(self._seat, self._store, self._host, self._worker.device)
        figures = self._worker.run(order, report, is_cancelled, world)
        with suppress(WorkerDied):  # what is written stays written, whatever happens to the others
            _wait_for_all(world)
        return figures

    def close(self) -> None:
        """Do nothing: the worker goes on alone."""


def serve_store() -> "TCPStore":
    """Return a store where a group can meet, served by this process at a free port."""
    from torch._C._distributed_c10d import TCPStore

    return TCPStore("0.0.0.0", 0, is_master=True, wait_for_workers=False)  # noqa: S104


def leave() -> None:
    """Leave the group, if this process is in one: the others then wait no longer for it."""
    import torch.distributed as dist

    if dist.is_initialized():
        with suppress(RuntimeError):
            dist.destroy_process_group()


def _join(seat: Seat, store: "TCPStore | None", host: str, device: str) -> "World":
    import torch.distributed as dist
    from torch._C._distributed_c10d import TCPStore

    from farm.engine.world import World

    os.environ["GLOO_SOCKET_IFNAME"] = _interface(host)
    patience = timedelta(seconds=_MEET_SECONDS)
    store = store or TCPStore(seat.host, seat.port, is_master=False, timeout=patience)
    before = sys.excepthook
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if device.startswith("cuda") else "gloo",
        store=store,
        rank=seat.rank,
        world_size=seat.size,
        timeout=timedelta(seconds=COLLECTIVE_SECONDS),
    )
    sys.excepthook = before  # torch adds a layer for each group
    return World(seat.rank, seat.size, all_reduce, broadcast_to(device), begin_all_reduce)


def _interface(host: str) -> str:
    """Return the network interface with this address; gloo's own choice may be one that others cannot reach."""
    addresses = psutil.net_if_addrs().items()
    return next((name for name, own in addresses if host in {one.address for one in own}), "lo")


def _wait_for_all(world: "World") -> None:
    import torch

    world.all_reduce(torch.zeros(1))
