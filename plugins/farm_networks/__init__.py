"""The farm's built-in networks: the starter, torchvision's classification models, and Caffe's GoogLeNet.

Imports torch and torchvision only when a network is requested.
"""

from collections.abc import Iterable, Iterator

from farm import NetworkSpec, hookimpl, input_path
from farm_networks import caffe
from farm_networks.starter import starter_spec
from farm_networks.torchvision_models import LISTED, torchvision_names, torchvision_spec


@hookimpl
def farm_networks() -> Iterator[NetworkSpec]:
    yield starter_spec()
    for name in LISTED:
        yield torchvision_spec(name)
    yield caffe.caffe_spec(caffe.NAME)


@hookimpl
def farm_network(name: str) -> NetworkSpec | None:
    if caffe.is_caffe_file(name):
        return caffe.caffe_spec(name, input_path(name))
    return torchvision_spec(name) if name in torchvision_names() else None


@hookimpl
def farm_network_names() -> Iterable[str]:
    return torchvision_names()
