"""Reads stills with libvips: every TIFF, and 16-bit PNG, which Pillow reduces to 8 bits."""

from pathlib import Path
from typing import Final

import pyvips

from farm.media.bounds import TooLarge
from farm.media.colour import BadProfile, is_srgb
from farm.media.frame import Frame, from_levels

__all__ = ["needs_vips", "read_with_vips"]

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_TIFFS: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_DEPTH_OFFSET: Final = 24
_PEAKS: Final = {"uchar": 255, "ushort": 65535, "uint": 2**32 - 1, "float": 1, "double": 1}
_MAX_CHANNELS: Final = 8


def needs_vips(source: Path | bytes) -> bool:
    """Return whether a file, or its content, is a TIFF, or a PNG with 16 bits per sample."""
    head = _head(source)
    is_png = head.startswith(_PNG) and head[_PNG_DEPTH_OFFSET : _PNG_DEPTH_OFFSET + 1] == b"\x10"
    return is_png or head.startswith(_TIFFS)


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[: _PNG_DEPTH_OFFSET + 1]
    with source.open("rb") as file:
        return file.read(_PNG_DEPTH_OFFSET + 1)


def read_with_vips(source: Path | bytes, max_pixels: int) -> Frame:
    """Read a TIFF or PNG, a file or its content, at its full depth, upright and in sRGB.

    Raises TooLarge, or ValueError with a reason of one line.
    """
    try:
        image = _load(source)
        _check_header(image, max_pixels)
        depth = 8 if image.format == "uchar" else 16
        image, notes = _to_srgb(_to_integers(image.autorot()))
        samples = image.numpy()
    except pyvips.Error as error:
        raise ValueError(_last_line(error)) from error
    peak = _PEAKS[str(image.format)]
    pixels = from_levels(samples[..., :3], peak)
    alpha = from_levels(samples[..., 3], peak) if samples.shape[2] > 3 else None
    return Frame(pixels, alpha, depth, notes)


def _load(source: Path | bytes) -> pyvips.Image:
    kind = "pngload" if _head(source).startswith(_PNG) else "tiffload"
    if isinstance(source, bytes):
        load = getattr(pyvips.Image, f"{kind}_buffer")
        return load(source, fail_on="warning", memory=True)
    return getattr(pyvips.Image, kind)(str(source), fail_on="warning", memory=True)


def _check_header(image: pyvips.Image, max_pixels: int) -> None:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise TooLarge(f"({pixels} pixels)")
    if image.bands > _MAX_CHANNELS:
        raise ValueError(f"it has {image.bands} channels; at most {_MAX_CHANNELS} are supported")
    if image.format not in _PEAKS and image.interpretation != "labs":
        raise ValueError(f"samples of type {image.format} are not supported")


def _to_integers(image: pyvips.Image) -> pyvips.Image:
    """Return the image with samples of 8 or 16 bits; Lab is left as it is."""
    if image.format in {"uchar", "ushort"} or image.interpretation == "labs":
        return image
    peak = _PEAKS[str(image.format)]
    low, high = image.min(), image.max()
    if not (low >= 0 and high <= peak):
        raise ValueError(f"its samples range from {low:g} to {high:g}; the limit is 0 to {peak}")
    kind = "grey16" if image.bands <= 2 else "rgb16"
    return (image * (65535 / peak)).rint().cast("ushort").copy(interpretation=kind)


def _to_srgb(image: pyvips.Image) -> tuple[pyvips.Image, tuple[str, ...]]:
    """Return RGB, with alpha as a fourth channel if there is any, and notes on what was ignored."""
    notes: tuple[str, ...] = ()
    target = "srgb" if image.format == "uchar" else "rgb16"
    if "icc-profile-data" in image.get_fields():
        try:
            image = _apply_profile(image)
        except (BadProfile, pyvips.Error) as error:
            notes = (f"colour profile ignored: {_last_line(error)}",)
    if image.interpretation == "cmyk":
        return _mix_inks(image, target), notes
    return image.colourspace(target), notes


def _mix_inks(image: pyvips.Image, target: str) -> pyvips.Image:
    """Convert CMYK without a profile as viewers do: the light that passes each ink and black."""
    peak = _PEAKS[str(image.format)]
    light = peak - image.extract_band(0, n=4)
    rgb = (light.extract_band(0, n=3) * light[3] / peak).rint().cast(image.format)
    rgb = rgb.bandjoin(image[4]) if image.hasalpha() else rgb
    return rgb.copy(interpretation=target)


def _apply_profile(image: pyvips.Image) -> pyvips.Image:
    if is_srgb(image.get("icc-profile-data")):
        return image
    depth = 8 if image.format == "uchar" else 16
    converted = image.icc_transform(
        "srgb", embedded=True, depth=depth, intent="relative", black_point_compensation=True
    )
    return converted.copy_memory()  # evaluates now, so that a bad profile raises here


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else "unreadable"
