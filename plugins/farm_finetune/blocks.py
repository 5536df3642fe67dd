"""Blocks of a network by name or pattern, and what happens to them before the training."""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from farm import BadParameter, UnknownName
from farm.engine.training import seeded


def matching_layers(
    network: nn.Module, name: str, aliases: Mapping[str, str], patterns: Iterable[str]
) -> set[str]:
    """Return the layers with weights that patterns stand for.

    A pattern is a block's name, or its beginning: inception4 stands for inception4a to 4e, but
    layer1 not for layer10. A * stands for any text. aliases: further names of layers. Raises
    UnknownName for a pattern that stands for nothing.
    """
    layers = _layers_with_weights(network)
    return {layer for pattern in patterns for layer in _matches(pattern, name, aliases, layers)}


def _layers_with_weights(network: nn.Module) -> list[str]:
    return [
        name
        for name, part in network.named_modules()
        if next(part.parameters(recurse=False), None) is not None
    ]


def _matches(
    pattern: str, name: str, aliases: Mapping[str, str], layers: Sequence[str]
) -> list[str]:
    text = ".*".join(map(re.escape, pattern.split("*")))
    beginning = re.compile(text + (r"(?!\d)" if pattern[-1:].isdecimal() else ""))
    meant = [target for alias, target in aliases.items() if beginning.match(alias)]
    found = [
        layer
        for layer in layers
        if beginning.match(layer) or any(f"{layer}.".startswith(f"{t}.") for t in meant)
    ]
    if not found:
        raise UnknownName(f"block of {name}", pattern, (*_blocks(layers), *aliases))
    return found


def _blocks(layers: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the blocks, from large to small."""
    paths = [layer.split(".") for layer in layers]
    depth = max(map(len, paths))
    return tuple(dict.fromkeys(".".join(p[:n]) for n in range(1, depth + 1) for p in paths))


def initialise(network: nn.Module, layers: Iterable[str], classifiers: Iterable[str]) -> None:
    """Draw new weights for layers and classifiers from torch's global generator.

    Classifiers as in Caffe's GoogLeNet: Glorot & Bengio 2010, biases 0. Other layers differ: He et
    al. 2015, arXiv 1502.01852, which suits ReLU without batch norm.
    """
    chosen = {*layers, *classifiers}
    for name, layer in network.named_modules():
        if name in chosen:
            _initialise(layer, is_classifier=name in classifiers)


def _initialise(layer: nn.Module, *, is_classifier: bool) -> None:
    if not isinstance(layer, nn.Linear | nn.Conv2d):
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
        return
    if is_classifier:
        nn.init.xavier_uniform_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def prepare_blocks(
    network: nn.Module,
    name: str,
    classifiers: Sequence[str],
    seed: int,
    *,
    aliases: Mapping[str, str],
    keep: Sequence[str] = (),
    reinit: Sequence[str] = (),
    freeze: Sequence[str] = (),
) -> None:
    """Initialise classifiers and chosen blocks, and freeze blocks, as the patterns say.

    Raises UnknownName, and BadParameter if nothing is left to train.
    """
    fresh = matching_layers(network, name, aliases, reinit)
    if keep:
        kept = matching_layers(network, name, aliases, keep)
        fresh = {*_layers_with_weights(network)} - kept
    frozen = matching_layers(network, name, aliases, freeze)
    if both := sorted(frozen & {*fresh, *classifiers}):
        raise BadParameter(
            "freeze", f"{both[0]} gets new weights, which must be trained; leave it out"
        )
    with seeded(seed), torch.no_grad():
        initialise(network, fresh, classifiers)
    for layer in frozen:
        network.get_submodule(layer).requires_grad_(requires_grad=False)
