"""Keep the colours of the original picture.

Source: Gatys, Bethge, Hertzmann, Shechtman 2016, arXiv 1606.05897: luminance-only transfer
(section 4.2) and colour histogram matching (section 4.1, with matrix square roots).
"""

from typing import Final, Literal

import torch
from torch import Tensor

Keep = Literal["none", "luminance", "histogram"]

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance of encoded RGB: ITU-R BT.601."""

EPSILON: Final = 1e-5
"""Added to the variances of colours, so that the covariance of a grey picture is invertible."""


def prepare(style: Tensor, content: Tensor, keep: Keep) -> Tensor:
    """Return a style picture with its colours adapted to the content."""
    if keep == "histogram":
        return match_colours(style, content)
    if keep == "luminance":
        return match_colours(luminance(style), luminance(content)).expand_as(style)
    return style


def luminance(picture: Tensor) -> Tensor:
    """Return the luminance of each pixel: [1, 1, height, width]."""
    weights = torch.tensor(LUMA, dtype=picture.dtype, device=picture.device)
    return (picture * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


def with_colours_of(content: Tensor, stylised: Tensor) -> Tensor:
    """Return the luminance of the stylised picture with the colours of the content."""
    return content + luminance(stylised) - luminance(content)


def match_colours(picture: Tensor, reference: Tensor) -> Tensor:
    """Return the picture with the reference's channel means and covariance, clipped to 0..1."""
    mean, covariance = _statistics(picture)
    target_mean, target_covariance = _statistics(reference)
    transform = _root(target_covariance) @ torch.linalg.inv(_root(covariance))
    flat = picture[0].flatten(1).double() - mean[:, None]
    matched: Tensor = (transform @ flat + target_mean[:, None]).clamp(0, 1)
    return matched.to(picture.dtype).view_as(picture)


def _statistics(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of the channels."""
    flat = picture[0].flatten(1).double()
    mean = flat.mean(1)
    flat = flat - mean[:, None]
    ridge = EPSILON * torch.eye(len(flat), dtype=flat.dtype, device=flat.device)
    return mean, flat @ flat.T / flat.shape[1] + ridge


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root
