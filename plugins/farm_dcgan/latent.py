"""Latents: the random numbers that a generator turns into pictures."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from farm_dcgan.presets import Prior


def draw(prior: Prior, size: int, generator: torch.Generator) -> Tensor:
    """Return one latent, [size]: uniform in -1..1, or normal."""
    if prior == "normal":
        return torch.randn(size, generator=generator)
    return torch.rand(size, generator=generator) * 2 - 1


def draw_rows(prior: Prior, size: int, generators: Iterable[torch.Generator]) -> Tensor:
    """Return a latent from each generator, [rows, size]."""
    return torch.stack([draw(prior, size, generator) for generator in generators])


def mix(prior: Prior, first: Tensor, second: Tensor, share: float) -> Tensor:
    """Return latents between two, [..., size]. share: 0 gives the first, 1 the second.

    Spherical for the normal prior, so that the length stays typical; linear for the uniform one.
    Source: White 2016, "Sampling generative networks", arXiv 1609.04468, section 2.1.
    """
    linear = first.lerp(second, share)
    if prior == "uniform":
        return linear
    angle = _angle(first, second)
    sine = angle.sin()
    spherical = (((1 - share) * angle).sin() * first + (share * angle).sin() * second) / sine
    return torch.where(sine.abs() < 1e-6, linear, spherical)


def _angle(first: Tensor, second: Tensor) -> Tensor:
    cosine = F.cosine_similarity(first, second, dim=-1).unsqueeze(-1)
    return cosine.clamp(-1, 1).acos()
