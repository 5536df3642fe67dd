"""Batch norm over several workers equals torch's over the whole batch."""

import pytest
import torch
from torch import Tensor, nn

from farm.engine.training.batch_norm import BatchNorm2d, frozen_running_statistics
from farm.engine.training.stages import EXCHANGE, measured
from farm.engine.world import ALONE, World

from ..threads import Threads  # noqa: TID252 - shared with the tests of the world

BATCH, CHANNELS = 8, 5

Pass = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def features() -> Tensor:
    """Return channels of very different means and variances."""
    noise = torch.randn(BATCH, CHANNELS, 6, 7, generator=torch.Generator().manual_seed(1))
    scale, shift = torch.tensor([1.0, 10, 0.1, 1, 3]), torch.tensor([0.0, 100, 3, -20, 0])
    return noise * scale[:, None, None] + shift[:, None, None]


def run(norm: nn.Module, rows: range, *, passes: int = 2) -> Pass:
    """Return output, slopes and running statistics after some passes over these rows."""
    weights = torch.randn(BATCH, CHANNELS, 6, 7, generator=torch.Generator().manual_seed(2))
    batch = features()[list(rows)].requires_grad_()
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, CHANNELS))  # type: ignore[operator]
    for number in range(passes):
        output = norm(batch + number)
    slope, weight, bias = torch.autograd.grad(
        (output * weights[list(rows)]).sum(),
        [batch, norm.weight, norm.bias],  # type: ignore[list-item]
    )
    statistics = norm.running_mean, norm.running_var
    return output.detach(), slope, weight, bias, *statistics  # type: ignore[return-value]


def torch_norm() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(CHANNELS, momentum=0.2)


def assert_close(actual: Tensor, expected: Tensor) -> None:
    scale = float(expected.abs().max())
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=2e-6 * max(1, scale))


def test_a_single_worker_computes_what_torch_computes() -> None:
    own = run(BatchNorm2d(CHANNELS, momentum=0.2), range(BATCH))
    for actual, expected in zip(own, run(torch_norm(), range(BATCH)), strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("size", [2, 3])
def test_workers_together_compute_what_torch_computes_from_the_whole_batch(size: int) -> None:
    def program(world: World) -> Pass:
        return run(BatchNorm2d(CHANNELS, world, momentum=0.2), world.rows(BATCH))

    output, slope, weight, bias, mean, variance = run(torch_norm(), range(BATCH))
    results = Threads(size).run(program)
    for rank, result in enumerate(results):
        rows = list(range(rank, BATCH, size))
        assert_close(result[0], output[rows])
        assert_close(result[1], slope[rows])
        assert_close(result[4], mean)
        assert_close(result[5], variance)
        assert torch.equal(result[4], results[0][4])
    assert_close(sum((r[2] for r in results), torch.zeros(())), weight)
    assert_close(sum((r[3] for r in results), torch.zeros(())), bias)


def test_waiting_for_other_workers_is_counted_as_exchange_in_both_passes() -> None:
    def program(world: World) -> bool:
        batch = features().requires_grad_()
        with measured() as forward:
            output = BatchNorm2d(CHANNELS, world)(batch)
        with measured() as backward:
            torch.autograd.grad(output.square().sum(), batch)
        return EXCHANGE in forward and EXCHANGE in backward

    assert Threads(2).run(program) == [True, True]


def test_evaluation_uses_the_running_statistics_and_keeps_them() -> None:
    norm, expected = BatchNorm2d(CHANNELS, momentum=0.2), torch_norm()
    run(norm, range(BATCH)), run(expected, range(BATCH))
    norm.eval(), expected.eval()
    before = {name: value.clone() for name, value in norm.named_buffers()}
    with torch.no_grad():
        assert torch.equal(norm(features()), expected(features()))
    assert all(torch.equal(value, before[name]) for name, value in norm.named_buffers())


@pytest.mark.parametrize("world", [ALONE, World(0, 2)])
def test_a_frozen_pass_normalises_by_its_batch_and_keeps_the_running_statistics(
    world: World,
) -> None:
    norm = BatchNorm2d(CHANNELS, world)
    network = nn.Sequential(nn.Identity(), norm)
    before = {name: value.clone() for name, value in norm.named_buffers()}
    with torch.no_grad(), frozen_running_statistics(network):
        output = network(features())
    assert float(output.mean((0, 2, 3)).abs().max()) < 1e-4
    assert all(torch.equal(value, before[name]) for name, value in norm.named_buffers())
    with torch.no_grad():
        network(features())
    assert not torch.equal(norm.running_mean, before["running_mean"])


def test_frozen_statistics_stay_frozen_in_a_nested_block_that_ends() -> None:
    norm = BatchNorm2d(1)
    with frozen_running_statistics(norm):
        with frozen_running_statistics(norm):
            pass
        assert not norm.updates_running_statistics
    assert norm.updates_running_statistics
