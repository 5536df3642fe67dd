"""Sizes to render at, as people write them: ``1280x720``, ``1080p``, ``50%``, ``long=1024``."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator

__all__ = ["MAX_PIXELS", "Size", "distortion", "sized"]

MAX_PIXELS: Final = 2**28
"""Pixels of the largest picture that is read or rendered: 268 megapixels, 3.2 GB once decoded."""

_SAME_SHAPE: Final = 0.02
"""Difference between aspect ratios that nobody sees."""

_LARGEST: Final = 100_000
_EXAMPLES: Final = "give 1280x720, 1080p (rows), 50% or long=1024 (the longer side)"
_SIZE: Final = re.compile(
    r"(?P<width>[0-9]{1,12})x(?P<height>[0-9]{1,12})|(?P<rows>[0-9]{1,12})p"
    r"|(?P<percent>[0-9]{1,4}(?:\.[0-9]{1,3})?)%|long=(?P<long>[0-9]{1,12})"
)


def _checked(text: str | None) -> str | None:
    if text is None:
        return None
    match = _SIZE.fullmatch(text)
    numbers = [float(number) for number in match.groups() if number] if match else []
    if any(number > _LARGEST for number in numbers):
        raise ValueError(f"{text[:40]!r} is too large; a side has at most {_LARGEST:,} pixels")
    if not numbers or not all(numbers):
        raise ValueError(f"{text[:40]!r} is not a size; {_EXAMPLES}")
    if len(numbers) == 2 and numbers[0] * numbers[1] > MAX_PIXELS:
        raise ValueError(f"{text} has more than {MAX_PIXELS:,} pixels; give a smaller size")
    return text


Size = Annotated[str | None, AfterValidator(_checked)]
"""A size that pictures are brought to before they are rendered; None leaves them as they are."""


def sized(size: str | None, height: int, width: int) -> tuple[int, int]:
    """Return the height and width that a picture gets. Only WIDTHxHEIGHT changes its proportions."""
    match = _SIZE.fullmatch(size) if size else None
    if match is None:
        return height, width
    if match["width"]:
        return int(match["height"]), int(match["width"])
    if match["rows"]:
        scale = int(match["rows"]) / height
    elif match["long"]:
        scale = int(match["long"]) / max(height, width)
    else:
        scale = float(match["percent"]) / 100
    return max(1, round(height * scale)), max(1, round(width * scale))


def distortion(size: str | None, height: int, width: int) -> str:
    """Return what to know of a size that changes the proportions of a picture; empty if it does not."""
    new_height, new_width = sized(size, height, width)
    is_explicit = size is not None and "x" in size
    if not is_explicit or abs(new_width * height / (new_height * width) - 1) <= _SAME_SHAPE:
        return ""
    longer = max(new_height, new_width)
    return f"`size` {size} squeezes or stretches it, as it is {width}x{height}; long={longer} keeps its shape"
