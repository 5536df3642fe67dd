"""Converts pictures with a colour profile to sRGB.

Works on 8-bit pictures without alpha. Ignores the gamma and chromaticity chunks of PNG.
"""

from io import BytesIO
from typing import Final

import numpy as np
from PIL import Image, ImageCms

__all__ = ["BadProfile", "is_srgb", "to_srgb"]

_MODES: Final = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}
_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_LAB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))


class BadProfile(ValueError):
    """A colour profile that cannot be applied; the message gives the reason."""


def to_srgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the picture in mode RGB, sRGB-encoded, and notes on what was ignored.

    profile: an ICC profile, or None. One that cannot be applied is ignored and noted.
    """
    if profile is None:
        return _plain_rgb(image), ()
    try:
        return _apply(image, _open(profile)), ()
    except BadProfile as error:
        return _plain_rgb(image), (f"colour profile ignored: {error}",)


def is_srgb(profile: bytes) -> bool:
    """Return whether a profile is sRGB to within one level of 255.

    Skipping such a profile avoids rounding the pixels. Raises BadProfile.
    """
    return _changes_nothing(_open(profile))


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except (OSError, TypeError, ImageCms.PyCMSError) as error:
        raise BadProfile("it is damaged") from error


def _apply(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    space = profile.profile.xcolor_space.strip()
    mode = _MODES.get(space)
    if mode == "RGB" and image.mode not in {"CMYK", "LAB"}:
        image = image.convert("RGB")
    if image.mode != mode:
        raise BadProfile(f"it is for {space} pictures, but this one is {image.mode}")
    if mode == "RGB" and _changes_nothing(profile):
        return image
    return _convert(image, profile)


def _changes_nothing(profile: ImageCms.ImageCmsProfile) -> bool:
    if profile.profile.xcolor_space.strip() != "RGB":
        return False
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    converted = np.asarray(_convert(Image.fromarray(grid), profile))
    return int(np.abs(converted.astype(int) - grid).max()) <= 1


def _convert(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    try:
        converted = ImageCms.profileToProfile(
            image,
            profile,
            _SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError) as error:
        raise BadProfile("it cannot be converted to sRGB") from error
    assert converted is not None
    return converted


def _plain_rgb(image: Image.Image) -> Image.Image:
    return _convert(image, _LAB) if image.mode == "LAB" else image.convert("RGB")
