"""Caffe's GoogLeNet and the networks that people fine-tuned from it, from their .caffemodel files.

Such files contain weights, not the wiring, which is therefore BVLC's. A child may have another
number of classes and another name for its classifier; both come from its file.

Unproven: no file that Caffe itself wrote was at hand. The tests write files with the field numbers
of caffe.proto and compare the network with OpenCV's, which reads the same files.
Sources: Szegedy et al., "Going deeper with convolutions", 2015, arXiv:1409.4842; BVLC, Caffe,
models/bvlc_googlenet (wiring, mean) and src/caffe/proto/caffe.proto (files).
Differs: the auxiliary classifiers, loss1 and loss2, are left out.
"""

from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm import BadInput, NetworkSpec, Weights
from farm_networks.heads import linear_head

if TYPE_CHECKING:
    from torch import nn

    from farm.engine.caffemodel import CaffeModel

__all__ = ["NAME", "caffe_spec", "is_caffe_file"]

NAME: Final = "caffe-googlenet"

_MEAN: Final = (104.0, 117.0, 123.0)
"""The mean of ImageNet as blue, green, red in 0..255, which BVLC's GoogLeNet subtracts."""

_FEATURES: Final = 1024
"""Channels of inception_5b/output, which the classifier reads."""

_BLOCKS: Final = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")

_ALIASES: Final = {
    "conv1": "conv1/relu_7x7",
    "pool1": "pool1/3x3_s2",
    "conv2": "conv2/relu_3x3",
    "pool2": "pool2/3x3_s2",
    **{f"inception{block}": f"inception_{block}/output" for block in _BLOCKS},
    "pool5": "pool5/7x7_s1",
}
"""The farm's names of the main layers. All of Caffe's own names work as well."""


@dataclass(frozen=True)
class _Facts:
    """What differs between files: the classifier, its number of classes, and the input.

    mean: blue, green and red in 0..255. scale: multiplies what remains after subtracting it.
    """

    classifier: str = "loss3/classifier"
    classes: int = 1000
    mean: tuple[float, ...] = _MEAN
    scale: float = 1.0


def is_caffe_file(name: str) -> bool:
    """Return whether a network's name is the path of a .caffemodel file."""
    return name.lower().endswith(".caffemodel")


def caffe_spec(name: str, file: Path | None = None) -> NetworkSpec:
    """Describe a GoogLeNet of Caffe. file: its .caffemodel; without it, the user gives weights."""
    facts = _facts_of(file) if file else _Facts()
    blue, green, red = (value / 255 for value in facts.mean)
    return NetworkSpec(
        name,
        build=partial(_build, file),
        weights=Weights(file=file),
        mean=(red, green, blue),
        std=(1 / (255 * facts.scale),) * 3,
        aliases=_ALIASES,
        head=("inception_5b/output", partial(linear_head, name=facts.classifier)),
        classes=partial(_classes, facts.classes),
        description="Caffe's GoogLeNet; give its .caffemodel with --weights, or as --network",
        for_weights=partial(_spec_for, name),
    )


def _spec_for(name: str, weights: Path) -> NetworkSpec:
    spec = caffe_spec(name, weights if is_caffe_file(weights.name) else None)
    return replace(spec, weights=Weights())


def _facts_of(file: Path) -> _Facts:
    """Return the facts of a file, or BVLC's; what is wrong with it is told when it is loaded."""
    try:
        status = file.stat()
        return _read_facts(file, status.st_mtime_ns, status.st_size)
    except (OSError, BadInput):
        return _Facts()


@lru_cache(maxsize=8)
def _read_facts(file: Path, _time: int, _size: int) -> _Facts:
    from farm.engine.caffemodel import read_caffemodel

    return _facts(file, read_caffemodel(file))


def _facts(file: Path, model: "CaffeModel") -> _Facts:
    """Return the facts of a model. Raises BadInput if it has no classifier of a GoogLeNet."""
    for name, weight in model.weights.items():
        layer = name.removesuffix(".weight")
        is_auxiliary = layer.startswith(("loss1/", "loss2/"))
        if not is_auxiliary and weight.ndim == 2 and weight.shape[1] == _FEATURES:
            mean = model.mean * (3 // len(model.mean)) if model.mean else _MEAN
            return _Facts(layer, len(weight), mean, model.scale)
    raise _not_a_googlenet(file, f"no layer classifies {_FEATURES} features")


def _build(file: Path | None) -> "nn.Module":
    """Return the network that a file's weights fit. Raises BadInput."""
    import torch

    from farm.engine.caffemodel import read_caffemodel
    from farm_networks.caffe.caffe_googlenet import CaffeGoogLeNet

    model = read_caffemodel(file) if file else None
    facts = _facts(file, model) if file and model else _Facts()
    try:
        with torch.device("meta"):  # random initialisation is slower than loading
            network = CaffeGoogLeNet(facts.classes, facts.classifier)
    except KeyError as error:  # the name of another layer, or of a method
        raise _not_a_googlenet(file, f"its classifier has the name {facts.classifier!r}") from error
    for name, value in network.state_dict().items():
        if (
            file
            and model
            and (name not in model.weights or model.weights[name].shape != value.shape)
        ):
            raise _not_a_googlenet(file, f"{name} is missing or has another shape")
    return network.to_empty(device=torch.get_default_device())


def _not_a_googlenet(file: Path | None, reason: str) -> BadInput:
    return BadInput(
        str(file),
        f"is neither Caffe's GoogLeNet nor fine-tuned from it: {reason}; "
        "networks of another wiring cannot be read from a .caffemodel file",
    )


def _classes(count: int) -> tuple[str, ...]:
    """Return ImageNet's names for 1000 classes, and numbers otherwise; files contain no names."""
    if count != 1000:
        return tuple(map(str, range(count)))
    from torchvision.models import GoogLeNet_Weights

    return tuple(GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"])
