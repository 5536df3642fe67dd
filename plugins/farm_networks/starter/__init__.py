"""The starter network, which needs no download. CARD.md describes its training.

Defines the path and the sha256 of the weights; imports torch only to build the network.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm import NetworkSpec, Weights
from farm_networks.heads import linear_head

if TYPE_CHECKING:
    from torch import nn

__all__ = ["SHA256", "WEIGHTS", "starter_spec"]

WEIGHTS: Final = Path(__file__).with_name("starter.safetensors")
SHA256: Final = "db02a127784bf6122f42fa6117866c9cd1c0be3fb5f09d93a16d85ac87592369"


def starter_spec() -> NetworkSpec:
    """Describe the starter network."""
    return NetworkSpec(
        "starter",
        build=_build,
        weights=Weights(file=WEIGHTS, sha256=SHA256),
        head=("inception5b", partial(linear_head, name="fc")),
        classes=_classes,
        description="a small GoogLeNet that comes with the farm",
    )


def _build() -> "nn.Module":
    from farm_networks.starter.network import StarterGoogLeNet

    return StarterGoogLeNet(folded=True)


def _classes() -> tuple[str, ...]:
    import json

    from safetensors import safe_open

    with safe_open(WEIGHTS, framework="np") as file:
        return tuple(json.loads(file.metadata()["classes"]))
