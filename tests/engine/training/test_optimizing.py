"""Gradients are summed over all workers, whatever the size of the network and of the batch."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from farm.engine.training import optimizer_step, optimizing
from farm.engine.world import ALONE, World
from farm.errors import UserError

from ..threads import Threads  # noqa: TID252 - shared with the tests of the world

ROWS = torch.linspace(-1, 1, 24).reshape(4, 6)


def make_net() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    generator = torch.Generator().manual_seed(0)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -1, 1, generator)
    return net


def loss_of(net: nn.Module, rows: Tensor) -> Tensor:
    loss: Tensor = net(rows).square().mean(1).sum() / len(ROWS)
    return loss


def trained(world: World) -> list[Tensor]:
    """Return the parameters after two steps."""
    net = make_net()
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9)
    for _ in range(2):
        rows = ROWS[list(world.rows(len(ROWS)))]
        optimizer_step(optimizer, loss_of(net, rows), 0.1, world)
    return [parameter.detach().clone() for parameter in net.parameters()]


def test_two_workers_take_the_step_of_one() -> None:
    alone = trained(ALONE)
    for parameters in Threads(2).run(trained):
        for own, other in zip(alone, parameters, strict=True):
            torch.testing.assert_close(own, other)


def test_sums_that_overlap_the_backward_pass_give_the_same_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = Threads(2).run(trained)[0]
    monkeypatch.setattr(optimizing, "BUCKET_BYTES", 40)

    def program(world: World) -> tuple[list[Tensor], int]:
        begun: list[Tensor] = []

        def begin(tensor: Tensor) -> Callable[[], object]:
            begun.append(tensor)
            return lambda: world.all_reduce(tensor)

        return trained(replace(world, begin_all_reduce=begin)), len(begun)

    for parameters, sums in Threads(2).run(program):
        assert sums == 2 * 2
        for own, other in zip(plain, parameters, strict=True):
            torch.testing.assert_close(own, other)


def test_the_parts_of_a_batch_add_up_to_the_whole() -> None:
    whole, parts = make_net(), make_net()
    optimizer_step(torch.optim.SGD(whole.parameters()), loss_of(whole, ROWS), 0.1, ALONE)
    losses = (loss_of(parts, ROWS[start : start + 1]) for start in range(len(ROWS)))
    optimizer_step(torch.optim.SGD(parts.parameters()), losses, 0.1, ALONE)
    for own, other in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(own, other)


def test_a_group_may_have_a_rate_of_its_own() -> None:
    net = make_net()
    groups = [
        {"params": [net[0].weight]},
        {"params": [net[0].bias], "rate_factor": 2.0},
    ]
    optimizer = torch.optim.SGD(groups)
    optimizer_step(optimizer, loss_of(net, ROWS), 0.1, ALONE)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def test_a_loss_that_cannot_be_computed_leaves_no_gradient_behind() -> None:
    net = make_net()

    def losses() -> Iterator[Tensor]:
        yield loss_of(net, ROWS)
        raise MemoryError

    with pytest.raises(MemoryError):
        optimizer_step(torch.optim.SGD(net.parameters()), losses(), 0.1, ALONE)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_an_optimiser_that_does_not_fit_the_memory_ends_the_run() -> None:
    """A caller that repeats a step in smaller parts must not repeat this one."""
    net = make_net()
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    optimizer.register_step_pre_hook(fail)
    with pytest.raises(UserError, match="memory is too small for the optimiser"):
        optimizer_step(optimizer, loss_of(net, ROWS), 0.1, ALONE)


@pytest.mark.parametrize("bucket_bytes", [optimizing.BUCKET_BYTES, 40])
def test_a_parameter_without_a_part_in_the_loss_is_an_error(
    bucket_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizing, "BUCKET_BYTES", bucket_bytes)
    net = make_net()
    world = World(begin_all_reduce=lambda _: lambda: None)
    with pytest.raises(RuntimeError):
        optimizer_step(torch.optim.SGD(net.parameters()), loss_of(net[:1], ROWS), 0.1, world)
