"""A picture in memory, and its conversion to and from integer levels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Integer, UInt8, UInt16

__all__ = ["Frame", "from_levels", "to_levels"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One picture.

    pixels: sRGB-encoded, 0..1. alpha: coverage 0..1, not premultiplied; None if the source has
    none. depth: bits per channel of the source, 8 or 16. notes: what was ignored while reading,
    one line each.
    """

    pixels: Float32[np.ndarray, "height width 3"]
    alpha: Float32[np.ndarray, "height width"] | None = None
    depth: int = 8
    notes: tuple[str, ...] = ()


def from_levels(levels: Integer[np.ndarray, "*grid"], peak: int) -> Float32[np.ndarray, "*grid"]:
    """Convert integers 0..peak to fractions 0..1; ``to_levels`` reverses it."""
    fractions: np.ndarray = np.divide(levels, np.float32(peak), dtype=np.float32)
    return fractions


def to_levels(
    values: Float32[np.ndarray, "*grid"], depth: int
) -> UInt8[np.ndarray, "*grid"] | UInt16[np.ndarray, "*grid"]:
    """Clip fractions to 0..1 and convert them to integers of depth bits (8 or 16).

    Rounds half to even. Raises ValueError if a value is NaN.
    """
    levels: np.ndarray = np.clip(values, 0, 1, dtype=np.float32)
    if levels.size and np.isnan(levels.min()):
        raise ValueError(f"{np.isnan(levels).sum()} of {levels.size} values are NaN")
    levels *= np.float32(2**depth - 1)
    np.rint(levels, out=levels)
    return levels.astype(np.uint16 if depth == 16 else np.uint8)
