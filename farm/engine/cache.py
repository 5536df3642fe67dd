"""What a worker keeps loaded between frames, within a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import chain
from typing import Any, Final, TypeVar

from torch import Tensor, nn

Value = TypeVar("Value")

CACHE_BYTES: Final = 2**31
"""Most bytes of networks and other files that a worker keeps loaded.

VGG-19, the largest network in use, takes 0.6 GB, and as much again once it is cut at its layers. Two
GiB holds it and several small ones, and leaves three quarters of a device of 8 GB to the picture.
"""


class LoadedFiles:
    """Values by key. Drops the least recently used ones beyond a number of bytes.

    The latest value always stays, however large it is.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._limit = limit
        self._values: OrderedDict[Hashable, tuple[Any, Callable[[Any], int]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Hashable, load: Callable[[], Value], size: Callable[[Value], int]) -> Value:
        """Return a value, loading it if it is not here. size: in bytes, which may grow with use."""
        if key not in self._values:
            self._values[key] = load(), size
        self._values.move_to_end(key)
        self._drop_old()
        value: Value = self._values[key][0]
        return value

    def _drop_old(self) -> None:
        sizes = {key: size(value) for key, (value, size) in self._values.items()}
        total = sum(sizes.values())
        for key in list(self._values)[:-1]:
            if total <= self._limit:
                return
            total -= sizes[key]
            del self._values[key]


def bytes_of(*modules: nn.Module) -> int:
    """Return the bytes of the modules' parameters and buffers; shared ones count once."""
    tensors = (chain(module.parameters(), module.buffers()) for module in modules)
    return sum({_place(t): t.nbytes for t in chain.from_iterable(tensors)}.values())


def _place(tensor: Tensor) -> object:
    return id(tensor) if tensor.is_meta else (tensor.device, tensor.data_ptr())
