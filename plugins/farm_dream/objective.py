"""Build the objective of a dream from its parameters, and check both."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from farm import BadParameter, Context
from farm.engine import objectives
from farm.engine.masks import read_mask
from farm.engine.networks import HEAD, Extractor, Network
from farm.errors import UnknownName
from farm_dream.params import USUAL_LAYERS, DreamParams

_NAMED: Final = 5
"""Classes to name of those that a word stands for."""


def objective_layers(params: DreamParams) -> tuple[str, ...]:
    """Return the layers that the dream reads."""
    return (HEAD,) if params.classes else tuple(params.layer_weights())


def check_objective(params: DreamParams, context: Context) -> None:
    """Refuse unknown networks, layers, channels and classes, and unreadable pictures."""
    network = context.network(params.network, params.weights)
    if params.classes and network.spec.head is None:
        raise BadParameter(
            "classes",
            f"{network.name} has no classifier that works at every size; choose another network",
        )
    extractor = _extractor(network, objective_layers(params))
    for name in params.class_weights():
        network.class_shares(name)
    for layer, count in extractor.channels.items():
        for channel in params.channel_weights():
            if channel >= count:
                raise BadParameter(
                    "channels", f"{layer} has channels 0 to {count - 1}, not {channel}"
                )
    if params.guide:
        context.read(params.guide)
    if params.mask:
        read_mask(params.mask, context.read(params.mask))


def _extractor(network: Network, layers: tuple[str, ...]) -> Extractor:
    """Return the network cut at these layers. Raises UnknownName, and says so if it is the default."""
    try:
        return network.extractor(layers)
    except UnknownName as error:
        if layers != USUAL_LAYERS:
            raise
        hint = "it is the default layer, which only GoogLeNets have"
        raise UnknownName(error.kind, error.name, error.known, hint) from None


def class_notes(names: Iterable[str], network: Network) -> Iterator[str]:
    """Yield what each word stands for, unless it is the name or the number of a class."""
    for name in dict.fromkeys(names):
        found = [network.classes[index].split(", ") for index in network.class_shares(name)]
        known = [part.casefold() for part in found[0]]
        if len(found) == 1 and (name.isdecimal() or name.casefold() in known):
            continue
        first = ", ".join(names[0] for names in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        count = f"{len(found)} classes" if len(found) > 1 else "one class"
        yield f"{name!r} stands for {count}: {first}{more}"


def class_objective(network: Network, weights: Mapping[str, float]) -> objectives.Classes:
    """Return the objective of named classes; a word divides its weight among its classes."""
    total: dict[int, float] = {}
    for name, weight in weights.items():
        for index, share in network.class_shares(name).items():
            total[index] = total.get(index, 0.0) + weight * share
    return objectives.Classes(total)


def build_objective(
    params: DreamParams, network: Network, context: Context
) -> objectives.Objective:
    """Return the objective that the parameters describe."""
    weights = params.layer_weights()
    if params.classes:
        return class_objective(network, params.class_weights())
    if params.guide:
        guide = context.read(params.guide)
        features = {layer: context.features(guide, network, layer) for layer in weights}
        return objectives.Guide(weights, features)
    if params.neuron:
        return objectives.Neurons(weights, params.channel_weights(), *params.neuron)
    if params.channels:
        return objectives.Channels(weights, params.channel_weights())
    return objectives.Energy(weights)
