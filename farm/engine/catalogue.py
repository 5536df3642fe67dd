"""Describe networks to users: their layers, classes, strides and reach, and where their weights are."""

from collections.abc import Mapping

import torch

from farm.engine.networks import Extractor, Network
from farm.engine.weights import find_weights
from farm.errors import BadParameter
from farm.model.specs import NetworkSpec

Row = dict[str, object]


def rows(specs: Mapping[str, NetworkSpec]) -> list[Row]:
    """Describe each network: its weights file and the names of its main layers."""
    return [_describe_network(spec) for spec in specs.values()]


def layers(spec: NetworkSpec) -> list[Row]:
    """Describe each main layer: channels, stride and reach.

    Reach is the measured range of pixels that a feature sees, relative to its own position.
    """
    network = _build_without_weights(spec)
    names = network.main_layers
    try:
        extractor = network.extractor(names)
        return [_describe_layer(extractor, name) for name in names]
    except BadParameter:
        return [_describe_single_layer(network, name) for name in names]


def classes(spec: NetworkSpec) -> list[Row]:
    """List the classes with their numbers. Raises BadParameter if they have no names."""
    names = spec.classes()
    if not names:
        raise BadParameter("classes", f"{spec.name} has no named classes; choose another network")
    return [{"number": number, "class": name} for number, name in enumerate(names)]


def _describe_layer(extractor: Extractor, name: str) -> Row:
    channels = extractor.channels[name]
    axes = extractor.reach[name]
    strides = dict.fromkeys(str(r.stride) for r in axes)
    spans = dict.fromkeys(f"{r.first:+d}..{r.last:+d}" for r in axes)
    return {
        "layer": name,
        "channels": channels,
        "stride": "x".join(strides),
        "reach": " x ".join(spans),
    }


def _describe_single_layer(network: Network, name: str) -> Row:
    """Describe a layer on its own, with the error as its reach if it cannot be measured."""
    try:
        return _describe_layer(network.extractor((name,)), name)
    except BadParameter as error:
        return {"layer": name, "channels": "", "stride": "", "reach": error.reason}


def _describe_network(spec: NetworkSpec) -> Row:
    path = find_weights(spec)
    url = spec.weights.url() if spec.weights.url else ""
    return {
        "name": spec.name,
        "weights": "present" if path else "to download" if url else "missing",
        "file": str(path or url or spec.weights.file or ""),
        "description": spec.description,
        "layers": list(_build_without_weights(spec).main_layers),
    }


def _build_without_weights(spec: NetworkSpec) -> Network:
    """Return the network with its weights on the meta device; shapes and reach need no values."""
    with torch.device("meta"):
        return Network(spec, spec.build(), "", "meta", "float32")
