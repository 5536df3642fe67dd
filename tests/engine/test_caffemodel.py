"""Caffe's files are read as Caffe wrote them; damaged and hostile ones are refused in one line."""

import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.engine import caffemodel
from farm.engine.caffemodel import read_caffemodel
from farm.errors import BadInput

from ..caffe_files import Blobs, message_classes, write  # noqa: TID252 - shared between rooms

LAYERS: Blobs = {
    "conv1/7x7_s2": [
        np.arange(4 * 3 * 2 * 2, dtype=np.float32).reshape(4, 3, 2, 2),
        np.array([1.5, -2, 3, 4], np.float32),
    ],
    "inception_3a/1x1": [np.ones((2, 4, 1, 1), np.float32), np.zeros(2, np.float32)],
    "loss3/classifier": [
        np.arange(15, dtype=np.float32).reshape(5, 3),
        np.arange(5, dtype=np.float32),
    ],
}


def field(number: int, content: bytes) -> bytes:
    """Return a field with a length, as protocol buffers encode it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes((*encoded, value))


def layer(*blobs: bytes, name: bytes = b"fc") -> bytes:
    return field(100, field(1, name) + b"".join(field(7, blob) for blob in blobs))


def blob(shape: tuple[int, ...], values: bytes) -> bytes:
    return field(7, field(1, b"".join(map(varint, shape)))) + field(5, values)


def read(folder: Path, content: bytes) -> caffemodel.CaffeModel:
    path = folder / "some.caffemodel"
    path.write_bytes(content)
    return read_caffemodel(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_old", [False, True])
def test_each_blob_is_found_under_its_layer(tmp_path: Path, *, is_old: bool, dtype: type) -> None:
    layers = {name: [blob.astype(dtype) for blob in blobs] for name, blobs in LAYERS.items()}
    model = read_caffemodel(write(tmp_path / "a.caffemodel", layers, is_old=is_old))
    wanted = {
        f"{name}.{kind}": blob
        for name, blobs in layers.items()
        for kind, blob in zip(("weight", "bias"), blobs, strict=True)
    }
    assert model.weights.keys() == wanted.keys()
    for name, values in wanted.items():
        assert model.weights[name].dtype == dtype
        np.testing.assert_array_equal(model.weights[name], values, err_msg=name)


@pytest.mark.parametrize("is_old", [False, True])
def test_a_matrix_of_a_single_class_keeps_both_axes(tmp_path: Path, *, is_old: bool) -> None:
    layers = {"fc": [np.ones((1, 7), np.float32), np.ones(1, np.float32)]}
    model = read_caffemodel(write(tmp_path / "a.caffemodel", layers, is_old=is_old))
    assert (model.weights["fc.weight"].shape, model.weights["fc.bias"].shape) == ((1, 7), (1,))


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("mean", [(), (128.0,), (104.0, 117.0, 123.0)])
def test_the_mean_and_the_scale_of_the_data_layer_are_read(
    tmp_path: Path, mean: tuple[float, ...], *, is_old: bool
) -> None:
    path = write(tmp_path / "a.caffemodel", LAYERS, is_old=is_old, mean=mean, scale=0.5)
    model = read_caffemodel(path)
    assert (model.mean, model.scale) == (mean, 0.5)
    plain = read_caffemodel(write(tmp_path / "b.caffemodel", LAYERS, is_old=is_old))
    assert (plain.mean, plain.scale) == ((), 1.0)


def test_numbers_and_shapes_may_come_unpacked_or_in_parts(tmp_path: Path) -> None:
    values = np.arange(4, dtype="<f4").tobytes()
    shape = field(7, b"\x08\x02\x08\x02")
    singly = b"".join(b"\x2d" + values[at : at + 4] for at in range(0, 16, 4))
    for data in (singly, field(5, values[:8]) + field(5, values[8:])):
        weight = read(tmp_path, layer(data + shape)).weights["fc.weight"]
        np.testing.assert_array_equal(weight, [[0, 1], [2, 3]])


def test_other_fields_are_skipped(tmp_path: Path) -> None:
    others = varint(33 << 3) + b"\x07" + varint(9 << 3 | 1) + bytes(8) + field(17, b"anything")
    part = blob((1,), bytes(4))
    content = others + field(100, others + field(1, b"fc") + field(7, part + others))
    assert list(read(tmp_path, content).weights) == ["fc.weight"]


def test_unusual_characters_do_not_reach_the_names(tmp_path: Path) -> None:
    """torch.fx writes the names of modules into source code, where a quote would end a text."""
    part = blob((1,), bytes(4))
    content = layer(part, name=b'a.b/c-d_9"\n)') + layer(part, name="größe\xff".encode("latin-1"))
    assert list(read(tmp_path, content).weights) == ["a_b/c-d_9___.weight", "gr__e_.weight"]


VALUE = blob((1,), bytes(4))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "contains no weights; give the .caffemodel file"),
        (layer(), "contains no weights"),
        (b'name: "GoogleNet"\nlayer {\n}\n', r"is no .caffemodel file \(a field has the wire type"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), r"is damaged, or is no .caffemodel file \("),
        (layer(VALUE)[:-1], "it ends too early"),
        (field(100, b"")[:-1] + varint(2**62), "it ends too early"),
        (b"\x80" * 9, "it ends too early"),
        (b"\x80" * 10, "an integer is too long"),
        (varint(100 << 3) + b"\x05", "an integer stands where a message is expected"),
        (layer(field(7, field(1, b"\x01")) + field(5, bytes(5))), "ends within a number"),
        (layer(blob((2**40, 2**40), bytes(8))), r"shape \[1099511627776, 1099511627776\] has 2 va"),
        (layer(blob((2**64 - 1,), bytes(4))), r"shape \[18446744073709551615\] has 1 values"),
        (layer(blob((0, 5), b"")), r"shape \[0, 5\] has 0 values"),
        (layer(field(5, bytes(8))), r"shape \[\] has 2 values"),
        (layer(blob((1,) * 33, bytes(4))), "more than 32 axes"),
        (layer(VALUE) * 2, "layer 'fc' occurs twice"),
        (layer(VALUE, name=b""), "a layer has no name"),
        (layer(VALUE, name=b"n" * 201), "the name of a layer has 201 bytes"),
        (layer() * 20_001, "more than 20000 fields"),
        (b"\x00\x00", "a field has the number 0"),
        (
            field(100, field(100, field(5, np.array([1, 2], "<f4").tobytes()))),
            r"the mean \[1.0, 2.0\]",
        ),
        (field(100, field(100, b"\x0d" + bytes(4))), "the scale 0.0"),
        (field(100, field(100, b"\x0d" + np.float32("nan").tobytes())), "the scale nan"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(BadInput, match=rf"^\S*some\.caffemodel: [^\n]*{reason}[^\n]*$"):
        read(tmp_path, content)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gone\.caffemodel: no such file$"):
        read_caffemodel(tmp_path / "gone.caffemodel")
    with pytest.raises(BadInput, match=r": is a folder$"):
        read_caffemodel(tmp_path)


def test_a_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sparse.caffemodel"
    with path.open("wb") as file:
        file.truncate(caffemodel.LARGEST + 1)
    monkeypatch.setattr(caffemodel, "LARGEST", 1 << 20)
    with pytest.raises(BadInput, match=r"is larger than 1 MiB, the limit for \.caffemodel$"):
        read_caffemodel(path)


@pytest.mark.slow
def test_a_hostile_file_takes_no_more_memory_than_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caffemodel, "_MOST_FIELDS", 1000)  # tracemalloc is slow
    hostile = field(17, bytes(5_000_000)) + field(100, b"") * 1000
    path = tmp_path / "bomb.caffemodel"
    path.write_bytes(hostile)
    tracemalloc.start()
    with pytest.raises(BadInput, match="more than 1000 fields"):
        read_caffemodel(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * len(hostile)


@pytest.mark.slow
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), is_old=st.booleans())
def test_a_damaged_file_is_read_or_refused(
    tmp_path: Path, data: st.DataObject, *, is_old: bool
) -> None:
    path = write(tmp_path / "a.caffemodel", LAYERS, is_old=is_old, mean=(104, 117, 123))
    content = path.read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.none() | st.binary(min_size=1, max_size=4))
    path.write_bytes(content[:at] if byte is None else content[:at] + byte + content[at + 1 :])
    with suppress(BadInput):
        assert read_caffemodel(path).weights


def test_the_writer_of_these_tests_agrees_with_protobuf(tmp_path: Path) -> None:
    """What is written by hand above means the same to Google's reader."""
    net = message_classes()["NetParameter"]()
    net.ParseFromString(layer(blob((1, 2), bytes(8)), name=b"fc"))
    (parsed,) = net.layer
    assert (parsed.name, list(parsed.blobs[0].shape.dim)) == ("fc", [1, 2])
    assert list(parsed.blobs[0].data) == [0, 0]
