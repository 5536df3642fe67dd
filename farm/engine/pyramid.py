"""Resize and blur pictures, and split them into frequency bands. No networks."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Image = Float[Tensor, "batch channels height width"]
Resized = Float[Tensor, "batch channels new_height new_width"]
Band = Float[Tensor, "batch channels _ _"]


def octave_sizes(height: int, width: int, octaves: int, scale: float) -> list[tuple[int, int]]:
    """Return (height, width) of each octave, smallest first; the last is the picture's own size.

    scale: size ratio of consecutive octaves, above 1. Sides are rounded, and at least 1 pixel.
    """
    ratios = [scale**-k for k in reversed(range(octaves))]
    return [(max(1, round(height * r)), max(1, round(width * r))) for r in ratios]


def resize(image: Image, height: int, width: int) -> Resized:
    """Return the image at another size, by bilinear interpolation with antialiasing."""
    if image.shape[2:] == (height, width):
        return image
    return F.interpolate(image, (height, width), mode="bilinear", antialias=True)


def blur(image: Image, sigma: float) -> Image:
    """Return the image blurred by a Gaussian of sigma pixels, with reflected edges.

    In small images, the kernel is shortened to what can be reflected.
    """
    for axis in (2, 3):
        radius = min(int(3 * sigma + 0.5), image.shape[axis] - 1)
        offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
        kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
        image = _convolve(image, kernel / kernel.sum(), axis)
    return image


def _convolve(image: Image, kernel: Float[Tensor, " taps"], axis: int) -> Image:
    """Convolve along one axis, per channel, with reflected edges."""
    radius = len(kernel) // 2
    padding = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
    weight = kernel.view((1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1))
    channels = image.shape[1]
    padded = F.pad(image, padding, mode="reflect")
    return F.conv2d(padded, weight.expand(channels, 1, -1, -1), groups=channels)


def laplacian_bands(image: Image, levels: int) -> list[Band]:
    """Split an image into up to `levels` bands, finest first, and a residual.

    merge_bands is the inverse. Source: Burt & Adelson 1983, with the binomial kernel 1 4 6 4 1.
    """
    kernel = torch.tensor([1.0, 4, 6, 4, 1], dtype=image.dtype, device=image.device) / 16
    stack = [image]
    for _ in range(levels):
        if min(stack[-1].shape[2:]) < 5:
            break
        smooth = _convolve(_convolve(stack[-1], kernel, 2), kernel, 3)
        stack.append(smooth[..., ::2, ::2])
    fine = [a - resize(b, *a.shape[2:]) for a, b in pairwise(stack)]
    return [*fine, stack[-1]]


def merge_bands(bands: list[Band]) -> Image:
    """Return the image that laplacian_bands split."""
    image = bands[-1]
    for band in reversed(bands[:-1]):
        image = band + resize(image, *band.shape[2:])
    return image


def total_variation(image: Image, beta: float = 2.0) -> Float[Tensor, ""]:
    """Return the mean of |grad|**beta over the picture.

    Source: Mahendran & Vedaldi 2014, arXiv 1412.0035, equation 3. Differs: a mean instead of a
    sum.
    """
    down = image[..., 1:, :-1] - image[..., :-1, :-1]
    right = image[..., :-1, 1:] - image[..., :-1, :-1]
    return ((down.square() + right.square() + 1e-12) ** (beta / 2)).mean()
