"""Networks with random weights, small enough to prove things on."""

from collections.abc import Callable
from functools import cache

import pytest
import torch

from farm.engine.networks import Network
from farm.model.job import Precision
from farm_networks.torchvision_models import torchvision_spec

RandomNetwork = Callable[[str, Precision], Network]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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
    """Return torchvision's network of a name with seeded random weights, in a precision."""
    return _network
