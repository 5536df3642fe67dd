"""What the network is shown of a picture: squeezed to a square, changed at random, and cropped."""

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from farm.engine.pyramid import blur, resize
from farm_finetune.params import FinetuneParams


def augmented(params: FinetuneParams, pixels: np.ndarray, generator: torch.Generator) -> Tensor:
    """Return a picture as the network is trained on it: [3, crop, crop], RGB in 0..1.

    pixels: uint8 [height, width, 3].
    """
    draws = torch.rand(8, generator=generator).tolist()
    image = squeezed(params, pixels)
    if params.flip and draws[0] < 0.5:
        image = image.flip(3)
    if params.rotate:
        image = _rotated(image, params.rotate * (2 * draws[1] - 1))
    if params.blur * draws[2] > 0.1:
        image = blur(image, params.blur * draws[2])
    if params.colour:
        image = _recoloured(image, [1 + params.colour * (2 * draw - 1) for draw in draws[3:6]])
    spare = params.size - params.crop
    top, left = (int(draw * (spare + 1)) for draw in draws[6:])
    return image[0, :, top : top + params.crop, left : left + params.crop].clamp(0, 1)


def centred(params: FinetuneParams, pixels: np.ndarray) -> Tensor:
    """Return a picture as its category is guessed: squeezed, and the middle of it."""
    first = (params.size - params.crop) // 2
    last = first + params.crop
    return squeezed(params, pixels)[0, :, first:last, first:last].clamp(0, 1)


def squeezed(params: FinetuneParams, pixels: np.ndarray) -> Tensor:
    """Return a picture as a square: [1, 3, size, size] in 0..1."""
    image = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
    return resize(image, params.size, params.size)


def _rotated(image: Tensor, degrees: float) -> Tensor:
    """Turn a picture; its mirror images fill the corners."""
    margin = image.shape[3] // 2
    padded = transforms.pad(image, [margin], padding_mode="reflect")
    turned = transforms.rotate(padded, degrees, transforms.InterpolationMode.BILINEAR)
    return turned[..., margin:-margin, margin:-margin]  # type: ignore[no-any-return]


def _recoloured(image: Tensor, factors: list[float]) -> Tensor:
    brightness, contrast, saturation = factors
    image = transforms.adjust_brightness(image, brightness)
    image = transforms.adjust_contrast(image, contrast)
    return transforms.adjust_saturation(image, saturation)  # type: ignore[no-any-return]
