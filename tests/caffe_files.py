"""Writes .caffemodel files with Google's protobuf and the field numbers of BVLC's caffe.proto.

Also lists the layers of BVLC's models/bvlc_googlenet/deploy.prototxt, written independently of
the plugin's network, as a prototxt for OpenCV and as a plain computation.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

Blobs = Mapping[str, Sequence[np.ndarray]]

MESSAGES = {
    "BlobShape": [("dim", 1, "*int64")],
    "BlobProto": [
        ("num", 1, "int32"),
        ("channels", 2, "int32"),
        ("height", 3, "int32"),
        ("width", 4, "int32"),
        ("data", 5, "*float"),
        ("diff", 6, "*float"),
        ("shape", 7, "BlobShape"),
        ("double_data", 8, "*double"),
    ],
    "TransformationParameter": [
        ("scale", 1, "float"),
        ("crop_size", 3, "uint32"),
        ("mean_value", 5, "+float"),
    ],
    "LayerParameter": [
        ("name", 1, "string"),
        ("type", 2, "string"),
        ("bottom", 3, "+string"),
        ("top", 4, "+string"),
        ("blobs", 7, "+BlobProto"),
        ("transform_param", 100, "TransformationParameter"),
    ],
    "V1LayerParameter": [
        ("bottom", 2, "+string"),
        ("top", 3, "+string"),
        ("name", 4, "string"),
        ("type", 5, "int32"),
        ("blobs", 6, "+BlobProto"),
        ("transform_param", 36, "TransformationParameter"),
    ],
    "NetParameter": [
        ("name", 1, "string"),
        ("layers", 2, "+V1LayerParameter"),
        ("layer", 100, "+LayerParameter"),
    ],
}
"""Fields as (name, number, type); + is repeated, * is repeated and packed."""


@cache
def message_classes() -> dict[str, Any]:
    pytest.importorskip("google.protobuf")
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    field_type = descriptor_pb2.FieldDescriptorProto
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            plain = kind.lstrip("*+")
            label = field_type.LABEL_OPTIONAL if kind == plain else field_type.LABEL_REPEATED
            field = described.field.add(name=name, number=number, label=label)
            if plain in MESSAGES:
                field.type, field.type_name = field_type.TYPE_MESSAGE, f".caffe.{plain}"
            else:
                field.type = getattr(field_type, f"TYPE_{plain.upper()}")
            field.options.packed = kind.startswith("*")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))
        for name in MESSAGES
    }


def write(
    path: Path,
    layers: Blobs,
    *,
    is_old: bool = False,
    mean: Sequence[float] = (),
    scale: float = 1.0,
) -> Path:
    """Write layers and their blobs. is_old: in the format of 2014, in which each blob is 4D."""
    net = message_classes()["NetParameter"](name="GoogleNet")
    add = net.layers.add if is_old else net.layer.add
    data = add(name="data", top=["data", "label"])
    data.transform_param.crop_size = 224
    data.transform_param.mean_value.extend(mean)
    if scale != 1:
        data.transform_param.scale = scale
    for name, blobs in layers.items():
        layer = add(name=name, bottom=["below"], top=[name])
        layer.type = (4 if blobs[0].ndim == 4 else 14) if is_old else "Convolution"
        for blob in blobs:
            fill(layer.blobs.add(), blob, is_old=is_old)
        add(name=f"{name}/relu", bottom=[name], top=[name])
    path.write_bytes(net.SerializeToString())
    return path


def fill(message: Any, blob: np.ndarray, *, is_old: bool) -> None:
    if is_old:
        sides = (1,) * (4 - blob.ndim) + blob.shape
        message.num, message.channels, message.height, message.width = sides
    else:
        message.shape.dim.extend(blob.shape)
    (message.double_data if blob.dtype == np.float64 else message.data).extend(
        blob.ravel().tolist()
    )
    message.diff.extend([0.5] * 3)  # left by some solvers


class Layer(NamedTuple):
    """One layer of a prototxt."""

    name: str
    kind: str
    bottoms: tuple[str, ...]
    top: str
    options: dict[str, Any]


def deploy(classes: int = 1000, classifier: str = "loss3/classifier") -> list[Layer]:
    """Return the layers of BVLC's GoogLeNet, in the order of its prototxt."""
    layers: list[Layer] = []

    def add(name: str, kind: str, *bottoms: str, top: str | None = None, **options: Any) -> str:
        layers.append(Layer(name, kind, bottoms, top or name, options))
        return top or name

    def conv(bottom: str, path: str, name: str, **options: int) -> str:
        add(f"{path}/{name}", "Convolution", bottom, **options)
        return add(
            f"{path}/relu_{name.removesuffix('_s2')}",
            "ReLU",
            f"{path}/{name}",
            top=f"{path}/{name}",
        )

    def pool(bottom: str, name: str) -> str:
        return add(name, "Pooling", bottom, pool="MAX", kernel_size=3, stride=2)

    top = pool(
        conv("data", "conv1", "7x7_s2", num_output=64, pad=3, kernel_size=7, stride=2),
        "pool1/3x3_s2",
    )
    top = add("pool1/norm1", "LRN", top, local_size=5, alpha=0.0001, beta=0.75)
    top = conv(top, "conv2", "3x3_reduce", num_output=64, kernel_size=1)
    top = conv(top, "conv2", "3x3", num_output=192, pad=1, kernel_size=3)
    top = add("conv2/norm2", "LRN", top, local_size=5, alpha=0.0001, beta=0.75)
    top = pool(top, "pool2/3x3_s2")
    for block, (n1, r3, n3, r5, n5, proj) in {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }.items():
        path = f"inception_{block}"
        one = conv(top, path, "1x1", num_output=n1, kernel_size=1)
        three = conv(top, path, "3x3_reduce", num_output=r3, kernel_size=1)
        three = conv(three, path, "3x3", num_output=n3, pad=1, kernel_size=3)
        five = conv(top, path, "5x5_reduce", num_output=r5, kernel_size=1)
        five = conv(five, path, "5x5", num_output=n5, pad=2, kernel_size=5)
        pooled = add(f"{path}/pool", "Pooling", top, pool="MAX", kernel_size=3, stride=1, pad=1)
        pooled = conv(pooled, path, "pool_proj", num_output=proj, kernel_size=1)
        top = add(f"{path}/output", "Concat", one, three, five, pooled)
        if block in {"3b", "4e"}:
            top = pool(top, f"pool{int(block[0])}/3x3_s2")
    top = add("pool5/7x7_s1", "Pooling", top, pool="AVE", kernel_size=7, stride=1)
    add(classifier, "InnerProduct", top, num_output=classes)
    return layers


def random_blobs(layers: Iterable[Layer], seed: int = 0) -> dict[str, list[np.ndarray]]:
    """Return weights and biases for a prototxt's layers, of a size that keeps values moderate."""
    random = np.random.default_rng(seed)
    channels = {"data": 3}
    blobs = {}
    for layer in layers:
        inputs = sum(channels[bottom] for bottom in layer.bottoms)
        outputs = channels[layer.top] = layer.options.get("num_output", inputs)
        if "num_output" in layer.options:
            kernel = layer.options.get("kernel_size")
            shape = (outputs, inputs) + ((kernel, kernel) if kernel else ())
            spread = (2 / np.prod(shape[1:])) ** 0.5
            weight = random.standard_normal(shape, np.float32) * np.float32(spread)
            blobs[layer.name] = [
                weight,
                random.standard_normal(outputs, np.float32) * np.float32(0.2),
            ]
    return blobs


def prototxt(layers: Iterable[Layer], side: int) -> str:
    """Return layers as the text that Caffe and OpenCV read."""
    parameter = {
        "Convolution": "convolution_param",
        "Pooling": "pooling_param",
        "LRN": "lrn_param",
        "InnerProduct": "inner_product_param",
    }
    lines = [
        f'name: "GoogleNet" input: "data" input_dim: 1 input_dim: 3 input_dim: {side} input_dim: {side}'
    ]
    for layer in layers:
        bottoms = " ".join(f'bottom: "{bottom}"' for bottom in layer.bottoms)
        options = " ".join(f"{key}: {value}" for key, value in layer.options.items())
        options = f"{parameter[layer.kind]} {{ {options} }}" if options else ""
        lines.append(
            f'layer {{ name: "{layer.name}" type: "{layer.kind}" {bottoms} top: "{layer.top}" {options} }}'
        )
    return "\n".join(lines)


def compute(layers: Iterable[Layer], blobs: Blobs, data: Tensor) -> dict[str, Tensor]:
    """Return what each layer of a prototxt computes from BGR data, by the layer's name."""
    tops, results = {"data": data}, {}
    for layer in layers:
        inputs = [tops[bottom] for bottom in layer.bottoms]
        weights = [torch.tensor(blob, dtype=data.dtype) for blob in blobs.get(layer.name, ())]
        tops[layer.top] = results[layer.name] = _run(layer, inputs, weights)
    return results


def _run(layer: Layer, inputs: list[Tensor], weights: list[Tensor]) -> Tensor:
    x, o = inputs[0], layer.options
    match layer.kind:
        case "Convolution":
            return F.conv2d(x, *weights, stride=o.get("stride", 1), padding=o.get("pad", 0))
        case "InnerProduct":
            return F.linear(x.flatten(1), *weights)
        case "ReLU":
            return x.clamp(min=0)
        case "Concat":
            return torch.cat(inputs, 1)
        case "LRN":
            half = o["local_size"] // 2
            squares = F.pad(x * x, (0, 0, 0, 0, half, half))
            window = sum(squares[:, i : i + x.shape[1]] for i in range(2 * half + 1))
            return x / (1 + o["alpha"] / o["local_size"] * window) ** o["beta"]
    return _pool(x, **o)


def _pool(x: Tensor, pool: str, kernel_size: int, stride: int, pad: int = 0) -> Tensor:
    """Pool as Caffe does: the last window may hang over, and counts only what is inside."""
    fill = -torch.inf if pool == "MAX" else torch.nan
    hanging = [-(side + 2 * pad - kernel_size) % stride for side in x.shape[2:]]
    x = F.pad(x, (pad, pad + hanging[1], pad, pad + hanging[0]), value=fill)
    windows = x.unfold(2, kernel_size, stride).unfold(3, kernel_size, stride)
    return windows.amax((4, 5)) if pool == "MAX" else windows.mean((4, 5))
