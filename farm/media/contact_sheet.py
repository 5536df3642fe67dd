"""Contact sheets: pictures in rows, each with a line of text below it."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from farm.media.frame import Frame
from farm.media.shrinking import shrunk

__all__ = ["contact_sheet"]

SIDE: Final = 480
"""The longest side of a picture on a sheet, in pixels; larger ones are made smaller."""

_GAP: Final = 6
_TEXT: Final = 16


def contact_sheet(pictures: Sequence[tuple[str, Frame]], columns: int) -> Frame:
    """Return pictures as one, row by row. pictures: each with the text below it."""
    cells = [(text, shrunk(frame, SIDE)) for text, frame in pictures]
    width = max(image.width for _, image in cells) + _GAP
    height = max(image.height for _, image in cells) + _GAP + _TEXT + _GAP
    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_TEXT * 0.8)
    for index, (text, image) in enumerate(cells):
        left = _GAP + index % columns * width
        top = _GAP + index // columns * height
        sheet.paste(image, (left, top))
        shown = _fitted(text, font, image.width)
        draw.text((left, top + image.height + _GAP / 2), shown, "black", font)
    return Frame(np.asarray(sheet, dtype=np.float32) / 255)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Return as much of a text as fits."""
    while text and font.getlength(text) > width:
        text = text[:-2].rstrip("…") + "…" if len(text) > 2 else ""
    return text
