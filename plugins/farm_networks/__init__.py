"""The farm's built-in networks: the starter, and torchvision's classification models.

Imports torch and torchvision only when a network is requested.
"""

from collections.abc import Iterable, Iterator

from farm import NetworkSpec, hookimpl
from farm_networks.starter import starter_spec
from farm_networks.torchvision_models import LISTED, torchvision_names, torchvision_spec


@hookimpl
def farm_networks() -> Iterator[NetworkSpec]:
    yield starter_spec()
    for name in LISTED:
        yield torchvision_spec(name)


@hookimpl
def farm_network(name: str) -> NetworkSpec | None:
    return torchvision_spec(name) if name in torchvision_names() else None


@hookimpl
def farm_network_names() -> Iterable[str]:
    return torchvision_names()
