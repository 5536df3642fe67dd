"""Blocks are found by pattern, and initialised or frozen as the patterns say."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from farm import BadParameter, NetworkSpec, UnknownName
from farm_finetune.blocks import matching_layers, prepare_blocks
from farm_finetune.classifier import find_classifiers, replace_classifiers
from farm_finetune.params import FinetuneParams

from .conftest import Tiny


@pytest.mark.parametrize(
    ("network", "pattern", "found"),
    [
        ("starter", "inception4", {"4a", "4b", "4c", "4d", "4e"}),
        ("starter", "inception4c", {"4c"}),
        ("starter", "*branch2.0", {"3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"}),
    ],
)
def test_a_pattern_stands_for_blocks_that_begin_with_it(
    find: Callable[[str], NetworkSpec], network: str, pattern: str, found: set[str]
) -> None:
    module = find(network).build()
    layers = matching_layers(module, network, {}, [pattern])
    assert {layer.split(".")[0].removeprefix("inception") for layer in layers} == found


def test_a_number_is_not_the_beginning_of_another(find: Callable[[str], NetworkSpec]) -> None:
    with torch.device("meta"):
        module = find("vgg16").build()
    assert matching_layers(module, "vgg16", {}, ["features.2"]) == {"features.2"}


def test_aliases_name_layers_as_well(find: Callable[[str], NetworkSpec]) -> None:
    spec = find("vgg16")
    with torch.device("meta"):
        module = spec.build()
    assert matching_layers(module, "vgg16", spec.aliases, ["conv4_2"]) == {"features.19"}


def test_an_unknown_block_is_refused_with_suggestions() -> None:
    with pytest.raises(UnknownName, match="unknown block of tiny 'blok1'; did you mean block1"):
        matching_layers(Tiny(auxiliary=True), "tiny", {}, ["blok1"])


def prepared(**patterns: Any) -> tuple[nn.Module, set[str]]:
    """Return a prepared network, and the layers whose weights have changed."""
    torch.manual_seed(0)
    network = Tiny(auxiliary=True)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    prepare_blocks(network, "tiny", ("fc", "aux1"), 5, aliases={"first": "block1.0"}, **patterns)
    after = network.state_dict()
    changed = {n.rpartition(".")[0] for n, v in before.items() if not torch.equal(v, after[n])}
    return network, changed


def test_only_classifiers_are_initialised_by_default() -> None:
    network, changed = prepared()
    assert changed == {"fc", "aux1"}
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_reinit_and_keep_choose_what_is_initialised() -> None:
    assert prepared(reinit=["block2"])[1] == {"fc", "aux1", "block2.0"}
    assert prepared(keep=["block2"])[1] == {"fc", "aux1", "block1.0"}
    assert prepared(reinit=["first"])[1] == {"fc", "aux1", "block1.0"}


def test_freeze_stops_the_training_of_blocks() -> None:
    network, changed = prepared(freeze=["block1"])
    frozen = {n for n, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"block1.0.weight", "block1.0.bias", "block1.1.weight", "block1.1.bias"}
    assert changed == {"fc", "aux1"}


@pytest.mark.parametrize("patterns", [{"freeze": ["fc"]}, {"freeze": ["block1"], "reinit": ["b"]}])
def test_what_gets_new_weights_cannot_be_frozen(patterns: dict[str, list[str]]) -> None:
    with pytest.raises(BadParameter, match="gets new weights, which must be trained; leave it out"):
        prepared(**patterns)


def test_first_weights_depend_on_the_seed_alone() -> None:
    before = torch.get_rng_state()
    first, second = (prepared(reinit=["block"])[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.set_rng_state(before)


def test_patterns_are_divided_at_commas() -> None:
    params = FinetuneParams(reinit=["inception4, inception5", "fc"])
    assert params.reinit == ("inception4", "inception5", "fc")


def test_keep_and_reinit_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="`keep` and `reinit` cannot be combined"):
        FinetuneParams(keep=["a"], reinit=["b"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "classifiers"),
    [
        ("starter", ("fc",)),
        ("googlenet", ("fc", "aux2.fc2", "aux1.fc2")),
        ("inception_v3", ("fc", "AuxLogits.fc")),
        ("resnet18", ("fc",)),
        ("vgg11", ("classifier.6",)),
        ("squeezenet1_1", ("classifier.1",)),
        ("densenet121", ("classifier",)),
        ("mobilenet_v3_small", ("classifier.3",)),
        ("vit_b_16", ("heads.head",)),
    ],
)
def test_every_classifier_gets_an_output_per_category(
    find: Callable[[str], NetworkSpec], name: str, classifiers: tuple[str, ...]
) -> None:
    spec = find(name)
    with torch.device("meta"):
        network = (spec.build_to_train or spec.build)()
        assert replace_classifiers(network, name, 7) == classifiers
        side = 299 if name == "inception_v3" else 224
        outputs = network.train()(torch.empty(2, 3, side, side))
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    assert [tuple(output.shape) for output in outputs] == [(2, 7)] * len(classifiers)


def test_a_network_without_a_single_classifier_is_refused() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x) + self.b(x)

    with pytest.raises(
        BadParameter, match="sum has no classifier that can be replaced: its output"
    ):
        find_classifiers(Sum(), "sum")
