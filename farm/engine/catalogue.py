"""What a person may know of the networks before choosing: layers, strides, reach, weights."""

from collections.abc import Mapping

import torch

from farm.engine.networks import Extractor, Network
from farm.engine.weights import find_weights
from farm.errors import BadParameter
from farm.model.specs import NetworkSpec

Row = dict[str, object]

_PROBE = 512


def rows(specs: Mapping[str, NetworkSpec]) -> list[Row]:
    """Describe each network: where its weights are, and the names of its main layers."""
    return [_row(spec) for spec in specs.values()]


def layers(spec: NetworkSpec) -> list[Row]:
    """Describe each main layer: channels, stride and reach.

    Reach is the measured range of pixels that a feature sees, counted from its own place.
    """
    network = _unweighted(spec)
    names = network.main_layers
    try:
        together = network.extractor(names)
        return [_layer(together, name) for name in names]
    except BadParameter:
        return [_layer_alone(network, name) for name in names]


def _layer(extractor: Extractor, name: str) -> Row:
    shape = extractor.shapes(_PROBE, _PROBE)[name]
    axes = extractor.reach[name]
    strides = dict.fromkeys(str(r.stride) for r in axes)
    spans = dict.fromkeys(f"{r.first:+d}..{r.last:+d}" for r in axes)
    return {
        "layer": name,
        "channels": shape.channels,
        "stride": "x".join(strides),
        "reach": " x ".join(spans),
    }


def _layer_alone(network: Network, name: str) -> Row:
    """Describe a layer of a network where some layer sees the whole picture."""
    try:
        return _layer(network.extractor((name,)), name)
    except BadParameter as error:
        return {"layer": name, "channels": "", "stride": "", "reach": error.reason}


def _row(spec: NetworkSpec) -> Row:
    path = find_weights(spec)
    url = spec.weights.url() if spec.weights.url else ""
    return {
        "name": spec.name,
        "weights": "here" if path else "to fetch" if url else "missing",
        "file": str(path or url or spec.weights.file or ""),
        "description": spec.description,
        "layers": list(_unweighted(spec).main_layers),
    }


def _unweighted(spec: NetworkSpec) -> Network:
    """Return the network without memory for its weights: shapes and reach need none."""
    with torch.device("meta"):
        return Network(spec, spec.build(), "", "meta", "float32")
