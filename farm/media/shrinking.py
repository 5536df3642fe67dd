"""Makes pictures small, to be looked at."""

from PIL import Image

from farm.media.frame import Frame, to_levels

__all__ = ["shrunk"]


def shrunk(frame: Frame, side: int) -> Image.Image:
    """Return a picture of 8 bits per channel with this longest side at most, in pixels."""
    picture = Image.fromarray(to_levels(frame.pixels, 8))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture
