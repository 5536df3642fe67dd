"""Networks with seeded random weights, and a single thread for every test."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch

from farm.engine.networks import Network
from farm.model.job import Precision
from farm_networks.torchvision_models import torchvision_spec

RandomNetwork = Callable[[str, Precision], Network]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def _network(name: str, precision: Precision) -> Network:
    spec = torchvision_spec(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = spec.build()
        for part in module.modules():
            if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(part.weight)
            if isinstance(part, torch.nn.BatchNorm2d):
                torch.nn.init.ones_(part.weight)
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
    return Network(spec, module, "", "cpu", precision)


@pytest.fixture(scope="session")
def random_network() -> RandomNetwork:
    """Return a torchvision network with seeded random weights: ``random_network(name, precision)``."""
    return _network
