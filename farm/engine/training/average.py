"""An exponential moving average of a network's weights."""

from typing import Final

import torch
from torch import nn

WARM_UP: Final = 10


@torch.no_grad()
def update_average(average: nn.Module, module: nn.Module, decay: float, step: int) -> None:
    """Move the average's parameters towards the module's, and copy its buffers.

    decay: the share of the average that stays, 0..1. Early steps keep less, so that the first
    weights are soon forgotten: min(decay, (1 + step) / (10 + step)). step: steps done before, from
    0. Both modules have the same architecture. Buffers are copied because running statistics are
    averages already, and belong to weights close to the average's.

    Source: tf.train.ExponentialMovingAverage for the warm-up; Yazici et al. 2018, "The unusual
    effectiveness of averaging in GAN training", arXiv 1806.04498.
    """
    kept = min(decay, (1 + step) / (WARM_UP + step))
    for own, trained in zip(average.parameters(), module.parameters(), strict=True):
        own.lerp_(trained, 1 - kept)
    for own_buffer, buffer in zip(average.buffers(), module.buffers(), strict=True):
        own_buffer.copy_(buffer)
