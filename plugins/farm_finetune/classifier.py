"""The classifiers of a network, its auxiliary ones included: find them, and give them other outputs."""

from collections.abc import Iterator

import torch
from torch import fx, nn

from farm import BadParameter


def replace_classifiers(network: nn.Module, name: str, classes: int) -> tuple[str, ...]:
    """Give every classifier one output per class, without initialising it; return their names.

    The main one comes first. name: of the network, for errors. Raises BadParameter if a classifier
    cannot be found.
    """
    classifiers = find_classifiers(network, name)
    for path in classifiers:
        parent, _, own = path.rpartition(".")
        old = network.get_submodule(path)
        setattr(network.get_submodule(parent), own, _resized(old, classes))
    return classifiers


def find_classifiers(network: nn.Module, name: str) -> tuple[str, ...]:
    """Return the names of the layers that produce the network's outputs in training.

    Each is the last linear layer, or convolution, on the way to an output. Raises BadParameter.
    """
    was_training = network.training
    network.train()
    try:
        graph = fx.Tracer().trace(network)
    except Exception as error:
        reason = " ".join(str(error).split())[:120]
        raise _refused(name, f"torch.fx cannot trace it ({reason})") from error
    finally:
        network.train(was_training)
    (output,) = (node for node in graph.nodes if node.op == "output")
    outputs = output.all_input_nodes
    if isinstance(outputs[0].target, type):  # a named tuple of outputs
        outputs = outputs[0].all_input_nodes
    classifiers = [_last_layer(node, network, name) for node in outputs]
    return tuple(dict.fromkeys(classifiers))


def _last_layer(output: fx.Node, network: nn.Module, name: str) -> str:
    """Return the layer that an output comes from."""
    found = set(_last_layers(output, network))
    if len(found) != 1:
        raise _refused(name, f"its output comes from {len(found)} layers")
    return found.pop()


def _last_layers(node: fx.Node, network: nn.Module) -> Iterator[str]:
    if node.op == "call_module":
        layer = network.get_submodule(str(node.target))
        if isinstance(layer, nn.Linear | nn.Conv2d):
            yield str(node.target)
            return
    for earlier in node.all_input_nodes:
        yield from _last_layers(earlier, network)


def _resized(layer: nn.Module, outputs: int) -> nn.Module:
    """Return a layer like this one with another number of outputs, without weights."""
    device = next(layer.parameters()).device
    with torch.device("meta"):
        if isinstance(layer, nn.Linear):
            resized: nn.Module = nn.Linear(layer.in_features, outputs)
        else:
            assert isinstance(layer, nn.Conv2d)
            resized = nn.Conv2d(layer.in_channels, outputs, layer.kernel_size[0], layer.stride[0])
    return resized.to_empty(device=device)


def _refused(name: str, reason: str) -> BadParameter:
    return BadParameter(
        "network",
        f"{name} has no classifier that can be replaced: {reason}; choose another network",
    )
