"""What the workers of a group send each other: sums, and the tensors of one worker.

Tensors arrive bit for bit, with their layout in memory, and are not copied on the way where they
lie in memory without gaps.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from farm.errors import WorkerDied

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["all_reduce", "begin_all_reduce", "broadcast_to", "communication"]

_HEADER_BYTES: Final = 4096
_LENGTH_BYTES: Final = 8


def all_reduce(tensor: "Tensor") -> None:
    """Sum a tensor over all workers, in place. Raises WorkerDied."""
    import torch.distributed as dist

    with communication():
        dist.all_reduce(tensor)


def begin_all_reduce(tensor: "Tensor") -> Callable[[], object]:
    """Start such a sum; return a function that waits for it."""
    import torch.distributed as dist

    with communication():
        sum_ = dist.all_reduce(tensor, async_op=True)

    def wait() -> None:
        with communication():
            sum_.wait()

    return wait


def broadcast_to(device: str) -> Callable[..., Mapping[Any, "Tensor"]]:
    """Return a function that copies the tensors of one worker to all workers.

    device: where those that are on a GPU arrive; the others stay on the CPU.
    """

    def broadcast(tensors: Mapping[Any, "Tensor"] | None, rank: int) -> Mapping[Any, "Tensor"]:
        with communication():
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
def communication() -> Iterator[None]:
    """Treat a failure of communication as the loss of another worker. Raises WorkerDied."""
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise WorkerDied("of a group", f"lost contact with another worker: {reason}") from error
