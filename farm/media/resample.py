"""Brings pictures to another size: Lanczos, in linear light, with colours weighted by alpha."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32
from PIL import Image

from farm.errors import BadParameter
from farm.media.frame import Frame
from farm.model.picture_size import MAX_PIXELS

__all__ = ["check_pixels", "resample"]

Plane = Float32[np.ndarray, "height width"]


def check_pixels(height: int, width: int) -> None:
    """Raise BadParameter for a size that is too large to render at."""
    if height * width > MAX_PIXELS:
        reason = f"{width}x{height} has more than {MAX_PIXELS:,} pixels; give a smaller size"
        raise BadParameter("size", reason)


def resample(frame: Frame, height: int, width: int) -> Frame:
    """Return a picture of this height and width. One that has them already stays as it is."""
    if frame.pixels.shape[:2] == (height, width):
        return frame
    check_pixels(height, width)
    light = _to_linear(frame.pixels)
    if frame.alpha is None:
        return replace(frame, pixels=_to_srgb(_resized(light, height, width)))
    weighted = _resized(light * frame.alpha[..., None], height, width)
    alpha = _resized(frame.alpha[..., None], height, width)
    visible = np.where(alpha > 0, weighted / np.maximum(alpha, 1e-6), 0)
    return replace(frame, pixels=_to_srgb(visible), alpha=alpha[..., 0])


def _resized(
    planes: Float32[np.ndarray, "h w n"], height: int, width: int
) -> Float32[np.ndarray, "height width n"]:
    def one(plane: Plane) -> Plane:
        image = Image.fromarray(np.ascontiguousarray(plane))
        return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))

    planes = np.stack([one(planes[..., n]) for n in range(planes.shape[-1])], axis=-1)
    return planes.clip(0, 1)


def _to_linear(pixels: np.ndarray) -> np.ndarray:
    low = pixels / np.float32(12.92)
    high = ((pixels + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(pixels <= 0.04045, low, high).astype(np.float32)


def _to_srgb(light: np.ndarray) -> np.ndarray:
    low = light * np.float32(12.92)
    high = np.float32(1.055) * light ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(light <= 0.0031308, low, high).astype(np.float32).clip(0, 1)
