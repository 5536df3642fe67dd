"""Read .caffemodel files: networks that Caffe trained, stored as protocol buffers.

Knows the fields that hold names, weights and the mean of the pictures, and skips all others.
Nothing in a file is run, and memory is taken only for what the file is known to contain.
Sources: BVLC, caffe.proto, for the numbers of the fields, and blob.cpp, for which shape counts;
Google, "Protocol Buffers: Encoding".
"""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from farm.errors import BadInput

__all__ = ["CaffeModel", "read_caffemodel"]

LARGEST: Final = 300 * 2**20
"""Bytes of the largest file to read; a GoogLeNet has 28 to 54 million."""

_MOST_FIELDS: Final = 20_000
"""Fields to read from one file; a GoogLeNet has some thousand. It bounds the work on hostile files."""

_MOST_AXES: Final = 32
"""Axes of a blob, as in Caffe."""

_BLOB_NAMES: Final = ("weight", "bias")

_LONGEST_NAME: Final = 200
"""Bytes of a layer's name."""

_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_/-]")
"""A character that does not belong in the name of a layer."""

Value = int | memoryview


class _Numbers(NamedTuple):
    """Field numbers of one kind of layer."""

    name: int
    blobs: int
    transform: int


_LAYERS: Final = {
    100: _Numbers(name=1, blobs=7, transform=100),  # LayerParameter, since 2015
    2: _Numbers(name=4, blobs=6, transform=36),  # V1LayerParameter, before
}
"""Kinds of layers, by their field in NetParameter."""


@dataclass(frozen=True)
class CaffeModel:
    """What a .caffemodel file contains.

    weights: float32 or float64, read-only, by name: LAYER.weight and LAYER.bias. mean, scale: what
    the data layer subtracts from pixels in 0..255, and then multiplies them by. mean has one value,
    or three as blue, green, red; it is empty if the file does not say.
    """

    weights: Mapping[str, np.ndarray]
    mean: tuple[float, ...] = ()
    scale: float = 1.0


class _Damaged(ValueError):
    """The content breaks the format. The text says how."""


def read_caffemodel(path: Path) -> CaffeModel:
    """Return the weights in a file. Raises BadInput."""
    try:
        model = _Parser().net(memoryview(_content(path)))
    except OSError as error:
        raise BadInput(str(path), f"cannot be read: {error.strerror or error}") from error
    except _Damaged as error:
        reason = f"is damaged, or is no .caffemodel file ({error}); get it again from its source"
        raise BadInput(str(path), reason) from error
    if not model.weights:
        reason = "contains no weights; give the .caffemodel file that Caffe wrote after training"
        raise BadInput(str(path), reason)
    return model


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise BadInput(str(path), "is a folder" if path.is_dir() else "no such file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST:
            limit = f"{LARGEST >> 20} MiB, the limit for .caffemodel"
            raise BadInput(str(path), f"is larger than {limit}")
        return file.read(size)


class _Parser:
    """Parses one file; counts the fields it has met."""

    def __init__(self) -> None:
        self._met = 0

    def net(self, message: memoryview) -> CaffeModel:
        weights: dict[str, np.ndarray] = {}
        mean: tuple[float, ...] = ()
        scale = 1.0
        for number, value in self._fields(message):
            if number not in _LAYERS:
                continue
            name, blobs, transform = self._layer(_part(value), _LAYERS[number])
            if blobs and (not name or f"{name}.weight" in weights):
                raise _Damaged(f"layer {name!r} occurs twice" if name else "a layer has no name")
            for index, blob in enumerate(blobs):
                kind = _BLOB_NAMES[index] if index < len(_BLOB_NAMES) else f"blob{index}"
                weights[f"{name}.{kind}"] = _without_padding(blob, index)
            if transform is not None and not mean:
                mean, scale = self._transform(transform)
        return CaffeModel(weights, mean, scale)

    def _layer(
        self, message: memoryview, numbers: _Numbers
    ) -> tuple[str, list[np.ndarray], memoryview | None]:
        """Return a layer's name, its blobs and how it prepares pictures, if it does."""
        name, blobs, transform = "", [], None
        for number, value in self._fields(message):
            if number == numbers.name:
                name = _name(_part(value))
            elif number == numbers.blobs:
                blobs.append(self._blob(_part(value)))
            elif number == numbers.transform:
                transform = _part(value)
        return name, blobs, transform

    def _blob(self, message: memoryview) -> np.ndarray:
        """Return a blob's values in its shape, without copying them."""
        sides: dict[int, int] = {}
        shape: tuple[int, ...] = ()
        singles, doubles = [], []
        for number, value in self._fields(message):
            if number in {1, 2, 3, 4} and isinstance(value, int):
                sides[number] = value
            elif number == 7:
                shape = self._shape(_part(value))
            elif number == 5:
                singles.append(_numbers(_part(value), "<f4"))
            elif number == 8:
                doubles.append(_numbers(_part(value), "<f8"))
        if sides:
            shape = tuple(sides.get(number, 0) for number in (1, 2, 3, 4))
        parts = doubles or singles or [np.empty(0, np.float32)]
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not len(values) or math.prod(shape) != len(values):
            raise _Damaged(f"a blob of shape {list(shape)} has {len(values)} values")
        return values.reshape(shape)

    def _shape(self, message: memoryview) -> tuple[int, ...]:
        shape: list[int] = []
        for number, value in self._fields(message):
            if number != 1:
                continue
            if isinstance(value, int):
                shape.append(value)
                continue
            at = 0
            while at < len(value) and len(shape) <= _MOST_AXES:
                side, at = _varint(value, at)
                shape.append(side)
        if len(shape) > _MOST_AXES:
            raise _Damaged(f"a blob has more than {_MOST_AXES} axes")
        return tuple(shape)

    def _transform(self, message: memoryview) -> tuple[tuple[float, ...], float]:
        """Return the mean and the scale of a TransformationParameter."""
        mean: list[float] = []
        scale = 1.0
        for number, value in self._fields(message):
            if number == 5:
                mean += map(float, _numbers(_part(value), "<f4"))
            elif number == 1:
                scale = sum(map(float, _numbers(_part(value), "<f4")))
        if len(mean) not in {0, 1, 3} or not all(map(math.isfinite, (*mean, scale))) or not scale:
            raise _Damaged(f"its pictures have the mean {mean} and the scale {scale}")
        return tuple(mean), scale

    def _fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """Yield the number and the value of each field: an integer, or the bytes of any other value."""
        at = 0
        while at < len(message):
            self._met += 1
            if self._met > _MOST_FIELDS:
                raise _Damaged(f"it has more than {_MOST_FIELDS} fields")
            tag, at = _varint(message, at)
            number, kind = tag >> 3, tag & 7
            if not number:
                raise _Damaged("a field has the number 0")
            value: Value
            if kind == 0:
                value, at = _varint(message, at)
            else:
                length, at = _length(kind, message, at)
                value, at = message[at : at + length], at + length
            yield number, value


def _length(kind: int, message: memoryview, at: int) -> tuple[int, int]:
    """Return how many bytes a value has, and where it starts. kind: its wire type."""
    if kind == 2:
        length, at = _varint(message, at)
    elif kind in {1, 5}:
        length = 8 if kind == 1 else 4
    else:
        raise _Damaged(f"a field has the wire type {kind}")
    if length > len(message) - at:
        raise _Damaged("it ends too early")
    return length, at


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Return the integer at a position, and the position after it."""
    value = 0
    for shift, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, at + shift + 1
    raise _Damaged("it ends too early" if len(message) - at < 10 else "an integer is too long")


def _part(value: Value) -> memoryview:
    if isinstance(value, int):
        raise _Damaged("an integer stands where a message is expected")
    return value


def _name(value: memoryview) -> str:
    """Return a layer's name, with an underscore for each character that does not belong in one.

    A name from the file may become that of a module, and torch.fx writes those into source code.
    """
    if len(value) > _LONGEST_NAME:
        raise _Damaged(f"the name of a layer has {len(value)} bytes")
    return _UNUSUAL.sub("_", str(value, "utf-8", "replace"))


def _numbers(value: memoryview, dtype: str) -> np.ndarray:
    if len(value) % np.dtype(dtype).itemsize:
        raise _Damaged("a list of numbers ends within a number")
    return np.frombuffer(value, dtype)


def _without_padding(blob: np.ndarray, index: int) -> np.ndarray:
    """Return a blob without the leading axes of 1 by which old files make every blob 4D.

    An old file keeps the matrix of a layer as [1, 1, outputs, inputs], and a bias as [1, 1, 1, outputs].
    """
    padding = 2 if index == 0 else 3
    if blob.ndim == 4 and blob.shape[:padding] == (1,) * padding:
        return blob.reshape(blob.shape[padding:])
    return blob
