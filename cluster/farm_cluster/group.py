"""The group that workers form while they share a unit: one process each, by torch.distributed.

A group lasts for one unit. The first worker serves a store, at a port that the system chooses, where
all of them meet. Processes stay what they were: their networks are loaded before and after.
"""

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, final

import psutil

from farm.errors import WorkerDied
from farm.execution.runner import IsCancelled, ReportProgress, Runner
from farm.execution.worker import Worker
from farm.model.messages import Figures, Order

if TYPE_CHECKING:
    from torch import Tensor
    from torch._C._distributed_c10d import TCPStore

    from farm.engine.world import World

__all__ = ["GroupMember", "Seat", "leave", "serve_store"]

COLLECTIVE_SECONDS: Final = 24 * 3600
"""How long a worker waits for the others to finish computing: a long wait does not mean they died."""

_MEET_SECONDS: Final = 120
_HEADER_BYTES: Final = 4096
_LENGTH_BYTES: Final = 8


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
        with _communication():
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
    return World(seat.rank, seat.size, _all_reduce, _broadcast(device), _begin_all_reduce)


def _interface(host: str) -> str:
    """Return the network interface with this address; gloo's own choice may be one that others cannot reach."""
    addresses = psutil.net_if_addrs().items()
    return next((name for name, own in addresses if host in {one.address for one in own}), "lo")


def _wait_for_all(world: "World") -> None:
    import torch

    world.all_reduce(torch.zeros(1))


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
    """Return a function that copies the tensors of one worker to all workers.

    device: where those that are on a GPU arrive; the others stay on the CPU.
    """

    def broadcast(tensors: Mapping[Any, "Tensor"] | None, rank: int) -> Mapping[Any, "Tensor"]:
        with _communication():
            if tensors is None:
                return _receive(rank, device)
            _send(tensors, rank)
            return tensors

    return broadcast


def _send(tensors: Mapping[Any, "Tensor"], rank: int) -> None:
    sent = {name: _dense(tensor) for name, tensor in tensors.items()}
    layout = [(name, t.dtype, t.shape, t.stride(), t.is_cuda) for name, t in sent.items()]
    _send_header(pickle.dumps(layout), rank)
    _exchange(sent.values(), rank)


def _receive(rank: int, device: str) -> Mapping[Any, "Tensor"]:
    import torch

    layout = pickle.loads(_receive_header(rank))  # noqa: S301 - from a worker of this farm
    received = {
        name: torch.empty_strided(shape, stride, dtype=dtype, device=device if is_cuda else "cpu")
        for name, dtype, shape, stride, is_cuda in layout
    }
    _exchange(received.values(), rank)
    return received


def _exchange(tensors: Any, rank: int) -> None:
    """Send the content of dense tensors from the worker of this rank, all at once."""
    import torch.distributed as dist

    flat = [_bytes_of(tensor) for tensor in tensors if tensor.numel()]
    for sent in [dist.broadcast(one, rank, async_op=True) for one in flat]:
        assert sent
        sent.wait()


def _send_header(content: bytes, rank: int) -> None:
    import torch
    import torch.distributed as dist

    whole = len(content).to_bytes(_LENGTH_BYTES) + content
    for part in (whole[:_HEADER_BYTES].ljust(_HEADER_BYTES, b"\0"), whole[_HEADER_BYTES:]):
        if part:
            dist.broadcast(torch.frombuffer(bytearray(part), dtype=torch.uint8), rank)


def _receive_header(rank: int) -> bytes:
    import torch
    import torch.distributed as dist

    header = torch.empty(_HEADER_BYTES, dtype=torch.uint8)
    dist.broadcast(header, rank)
    content = header.numpy().tobytes()
    length = int.from_bytes(content[:_LENGTH_BYTES])
    missing = _LENGTH_BYTES + length - _HEADER_BYTES
    if missing > 0:
        rest = torch.empty(missing, dtype=torch.uint8)
        dist.broadcast(rest, rank)
        content += rest.numpy().tobytes()
    return content[_LENGTH_BYTES : _LENGTH_BYTES + length]


def _dense(tensor: "Tensor") -> "Tensor":
    """Return the tensor with its values side by side in memory, in their own order if they are."""
    spans = sorted(zip(tensor.stride(), tensor.shape, strict=True))
    expected = 1
    for stride, length in spans:
        if length > 1 and stride != expected:
            return tensor.contiguous()
        expected *= length
    return tensor


def _bytes_of(tensor: "Tensor") -> "Tensor":
    import torch

    return tensor.detach().as_strided((tensor.numel(),), (1,)).view(torch.uint8)


@contextmanager
def _communication() -> Iterator[None]:
    """Treat a failure of communication as the loss of another worker. Raises WorkerDied."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WorkerDied("of a group", f"lost contact with another worker: {reason}") from error
