"""Keeping the picture's own colours.

Source: Gatys, Bethge, Hertzmann, Shechtman 2016, arXiv 1606.05897: luminance-only transfer
(section 4.2) and colour histogram matching (section 4.1, from the covariances' roots).
"""

from typing import Final, Literal

import torch
from torch import Tensor

Keep = Literal["none", "luminance", "histogram"]

LUMA: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the lightness of encoded RGB: ITU-R BT.601."""

EPSILON: Final = 1e-5
"""Added to colours' variances, so that a grey picture has a root too."""


def prepare(style: Tensor, content: Tensor, keep: Keep) -> Tensor:
    """Return a style picture with the colours that the content lets it have."""
    if keep == "histogram":
        return match_colours(style, content)
    if keep == "luminance":
        return match_colours(lightness(style), lightness(content)).expand_as(style)
    return style


def lightness(picture: Tensor) -> Tensor:
    """Return how light each pixel is: [1, 1, height, width]."""
    weights = torch.tensor(LUMA, dtype=picture.dtype, device=picture.device)
    return (picture * weights.view(1, 3, 1, 1)).sum(1, keepdim=True)


def with_colours_of(content: Tensor, painted: Tensor) -> Tensor:
    """Return the painted lightness in the content's colours."""
    return content + lightness(painted) - lightness(content)


def match_colours(picture: Tensor, model: Tensor) -> Tensor:
    """Return the picture with the model's mean and covariance of channels, within 0..1."""
    (mean, covariance), (wanted, goal) = _colours(picture), _colours(model)
    turn = _root(goal) @ torch.linalg.inv(_root(covariance))
    flat = picture[0].flatten(1).double() - mean[:, None]
    matched: Tensor = (turn @ flat + wanted[:, None]).clamp(0, 1)
    return matched.to(picture.dtype).view_as(picture)


def _colours(picture: Tensor) -> tuple[Tensor, Tensor]:
    flat = picture[0].flatten(1).double()
    mean = flat.mean(1)
    flat = flat - mean[:, None]
    ridge = EPSILON * torch.eye(len(flat), dtype=flat.dtype, device=flat.device)
    return mean, flat @ flat.T / flat.shape[1] + ridge


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root
