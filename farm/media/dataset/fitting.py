"""Brings a picture to the size of a dataset, and encodes it."""

from io import BytesIO
from typing import Final

from PIL import Image, ImageOps

from farm.media.dataset.manifest import Options
from farm.media.dataset.picture_decoder import Levels

__all__ = ["encode", "fit"]

_METHOD: Final = Image.Resampling.LANCZOS


def fit(levels: Levels, options: Options) -> Image.Image:
    """Return a picture at the size of the dataset; see Options.fit."""
    image, sides = Image.fromarray(levels), (options.width, options.height)
    if options.fit == "crop":
        return ImageOps.fit(image, sides, _METHOD)
    if options.fit == "pad":
        return ImageOps.pad(image, sides, _METHOD)
    return image.resize(sides, _METHOD)


def encode(image: Image.Image, options: Options) -> bytes:
    """Return the file of a picture. Equal pictures and options give equal bytes."""
    file = BytesIO()
    if options.format == "jpeg":
        image.save(file, "JPEG", quality=options.quality, subsampling="4:4:4")
    else:
        image.save(file, "PNG")
    return file.getvalue()
