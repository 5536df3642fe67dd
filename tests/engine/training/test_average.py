"""The average of a network's weights."""

import pytest
import torch
from torch import nn

from farm.engine.training.average import update_average
from farm.engine.training.batch_norm import BatchNorm2d


def network(value: float) -> nn.Module:
    net = nn.Sequential(nn.Linear(1, 1), BatchNorm2d(1))
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            tensor.fill_(value)
    return net


def test_parameters_are_averaged_and_buffers_copied() -> None:
    average, net = network(0), network(1)
    update_average(average, net, decay=0.9, step=10_000)
    assert [float(p.detach()) for p in average.parameters()] == pytest.approx([0.1] * 4)
    assert [float(b) for b in average.buffers()] == [1, 1]


def test_the_first_steps_keep_less() -> None:
    kept = []
    for step in (0, 9, 89, 10**6):
        average = network(1)
        update_average(average, network(0), decay=0.999, step=step)
        kept.append(float(next(average.parameters()).detach()))
    assert kept == pytest.approx([1 / 10, 10 / 19, 90 / 99, 0.999])


def test_the_average_follows_weights_that_stay() -> None:
    average, net = network(0), network(1)
    for step in range(200):
        update_average(average, net, decay=0.9, step=step)
    assert float(next(average.parameters()).detach()) == pytest.approx(1, abs=1e-3)
    assert float(next(net.parameters()).detach()) == 1


def test_a_decay_of_zero_copies_the_network() -> None:
    average, net = network(0), network(1)
    update_average(average, net, decay=0.0, step=5)
    assert all(float(p.detach()) == 1 for p in average.parameters())
