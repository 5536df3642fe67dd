"""Whether a mask has the shape of a picture, which may have another size."""

from typing import Final

__all__ = ["misfit"]

_TOLERANCE: Final = 0.02
"""Largest relative difference of aspect ratios for which a mask is scaled to the picture."""


def misfit(mask: tuple[int, int], picture: tuple[int, int]) -> str:
    """Return why a mask cannot be scaled to a picture; empty if it can. Both are heights and widths.

    Sides are rounded to whole pixels, so a difference of one pixel at the smaller size is allowed, too.
    """
    (rows, columns), (height, width) = mask, picture
    allowed = max(min(height, rows), min(width, columns), _TOLERANCE * rows * width)
    if abs(columns * height - rows * width) <= allowed:
        return ""
    return (
        f"the mask is {columns}x{rows} but the picture is {width}x{height}; crop the mask to the same "
        "aspect ratio"
    )
