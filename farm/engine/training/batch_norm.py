"""Batch norm over the whole batch, wherever its rows are.

torch.nn.BatchNorm2d uses the rows of one worker, and torch.nn.SyncBatchNorm refuses CPUs. Here the
World adds up what the workers know, so that a step does not depend on how many there are.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from farm.engine.training.stages import EXCHANGE, stage
from farm.engine.world import ALONE, World

Features = Float[Tensor, "batch channels height width"]
PerChannel = Float[Tensor, " channels"]


class BatchNorm2d(nn.Module):
    """Normalises each channel by its mean and variance over the batch of all workers.

    In evaluation mode, by the running mean and variance. momentum: the share of the running
    statistics that a pass replaces, above 0 and at most 1. World: every worker must make the same
    passes in the same order.

    Source: Ioffe, Szegedy 2015, "Batch normalization", arXiv 1502.03167, algorithms 1 and 2.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, channels: int, world: World = ALONE, *, momentum: float = 0.1, epsilon: float = 1e-5
    ) -> None:
        super().__init__()
        self.world, self.momentum, self.epsilon = world, momentum, epsilon
        self.updates_running_statistics = True
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, features: Features) -> Features:
        if self.training and self.world.size > 1:
            return self._normalise_together(features)
        running = not self.training or self.updates_running_statistics
        return F.batch_norm(
            features,
            self.running_mean if running else None,
            self.running_var if running else None,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.epsilon,
        )

    def _normalise_together(self, features: Features) -> Features:
        count, mean, variance = statistics(features, self.world)
        if self.updates_running_statistics:
            unbiased = variance * (count / max(count - 1, 1))
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(unbiased, self.momentum)
        scale = (variance + self.epsilon).rsqrt()
        normalised: Tensor = _Normalise.apply(features, mean, scale, count, self.world)
        return normalised * _spread(self.weight) + _spread(self.bias)


@contextmanager
def frozen_running_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of every BatchNorm2d in the module as they are.

    Training passes within still normalise by the statistics of their own batch.
    """
    norms = [part for part in module.modules() if isinstance(part, BatchNorm2d)]
    before = [norm.updates_running_statistics for norm in norms]
    for norm in norms:
        norm.updates_running_statistics = False
    try:
        yield
    finally:
        for norm, updates in zip(norms, before, strict=True):
            norm.updates_running_statistics = updates


def statistics(features: Features, world: World) -> tuple[float, PerChannel, PerChannel]:
    """Return the count, mean and biased variance of each channel over all workers.

    Sums are taken in float64. Source: Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise
    algorithm for computing sample variances".
    """
    own = float(features.numel() // features.shape[1])
    variance, mean = torch.var_mean(features.detach(), (0, 2, 3), correction=0)
    mean, variance = mean.double(), variance.double()
    sums = torch.cat([mean.new_tensor([own]), own * mean, own * (variance + mean**2)])
    with stage(EXCHANGE):
        world.all_reduce(sums)
    count = float(sums[0])
    mean, square = (sums[1:] / count).chunk(2)
    variance = (square - mean**2).clamp(min=0)
    return count, mean.to(features.dtype), variance.to(features.dtype)


class _Normalise(torch.autograd.Function):
    """(features - mean) * scale, where mean and scale depend on the features of all workers."""

    @staticmethod
    def forward(  # noqa: PLR0917 - torch passes them by position
        ctx: Any,
        features: Features,
        mean: PerChannel,
        scale: PerChannel,
        count: float,
        world: World,
    ) -> Features:
        normalised = (features - _spread(mean)) * _spread(scale)
        ctx.save_for_backward(normalised, scale)
        ctx.count, ctx.world = count, world
        return normalised

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Features) -> tuple[Tensor, None, None, None, None]:
        normalised, scale = ctx.saved_tensors
        sums = torch.stack([slope.sum((0, 2, 3)), (slope * normalised).sum((0, 2, 3))]).double()
        with stage(EXCHANGE):
            ctx.world.all_reduce(sums)
        shift, tilt = (sums / ctx.count).to(slope.dtype)
        centred = slope - _spread(shift) - normalised * _spread(tilt)
        return centred * _spread(scale), None, None, None, None


def _spread(values: PerChannel) -> Float[Tensor, "1 channels 1 1"]:
    return values[None, :, None, None]
