"""Differentiable augmentation of what the discriminator sees, so that small data sets suffice.

Real and generated pictures are changed in the same ways, and slopes pass through to the generator,
so the generator does not learn to draw the changes.

Source: Zhao, Liu, Lin, Zhu, Han 2020, "Differentiable augmentation for data-efficient GAN
training", arXiv 2006.10738, section 3.2 and appendix, with the ranges of the authors' code.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from farm.engine.training import row_generator
from farm_dcgan.presets import Augmentation

SHIFT: Final = 1 / 8
"""Largest translation, as a share of the side."""

CUT: Final = 1 / 2
"""Side of the square that cutout blanks, as a share of the picture's."""

_DRAWS: Final = 7


def draw(seed: int, step: int, rows: range, use: str) -> Tensor:
    """Return the random numbers of these rows of a step, [rows, 7] in 0..1.

    use: distinguishes several passes of a step.
    """
    generators = (row_generator(seed, step, row, f"augment {use}") for row in rows)
    return torch.stack([torch.rand(_DRAWS, generator=generator) for generator in generators])


def augment(pictures: Tensor, draws: Tensor, kinds: Sequence[Augmentation]) -> Tensor:
    """Return the pictures, each changed by its own draws.

    pictures: [rows, 3, height, width] in -1..1. draws: [rows, 7]. kinds: which changes to make;
    their order does not count. Pixels that come into view, and those that are cut out, are 0.
    """
    values = draws.to(pictures)[:, :, None, None, None].unbind(1)
    brightness, saturation, contrast, *positions = values
    if "colour" in kinds:
        pictures = pictures + brightness - 0.5
        grey = pictures.mean(1, keepdim=True)
        pictures = grey.lerp(pictures, 2 * saturation)
        level = pictures.mean((1, 2, 3), keepdim=True)
        pictures = level.lerp(pictures, contrast + 0.5)
    if "translation" in kinds:
        pictures = _translate(pictures, positions[0].flatten(), positions[1].flatten())
    if "cutout" in kinds:
        pictures = pictures * _cutout(pictures, positions[2].flatten(), positions[3].flatten())
    return pictures


def _translate(pictures: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Move each picture by up to SHIFT of its side. down, right: [rows] in 0..1; 0.5 stays."""
    height, width = pictures.shape[2:]
    y, is_y = _moved(height, down)
    x, is_x = _moved(width, right)
    index = y[:, :, None] * width + x[:, None, :]
    moved = pictures.flatten(2).gather(2, index.flatten(1)[:, None].expand(-1, 3, -1))
    return moved.view_as(pictures) * (is_y[:, None, :, None] & is_x[:, None, None, :])


def _moved(length: int, share: Tensor) -> tuple[Tensor, Tensor]:
    """Return which position each position shows, [rows, length], and whether there is one."""
    most = round(SHIFT * length)
    shift = (share * (2 * most + 1)).floor().long().clamp(max=2 * most) - most
    source = torch.arange(length, device=share.device) - shift[:, None]
    return source.clamp(0, length - 1), (source >= 0) & (source < length)


def _cutout(pictures: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Return 0 in a square of each picture and 1 elsewhere, [rows, 1, height, width].

    The centre may be anywhere, so at a border less is cut.
    """
    is_y, is_x = (
        _is_cut(length, share)
        for length, share in zip(pictures.shape[2:], (down, right), strict=True)
    )
    is_cut = is_y[:, None, :, None] & is_x[:, None, None, :]
    return (~is_cut).to(pictures.dtype)


def _is_cut(length: int, share: Tensor) -> Tensor:
    half = round(CUT * length) / 2
    centre = (share * (length + 1)).floor()
    position = torch.arange(length, device=share.device) + 0.5
    return (position - centre[:, None]).abs() < half
