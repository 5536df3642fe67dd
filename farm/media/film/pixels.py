"""From a decoded frame to pixels and back: matrix, range, depth, rotation.

libswscale brings samples to one layout; the colours are computed here, because its own
conversion to 48 bits is up to 15 of 4095 wrong, and wraps around at the ends.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from jaxtyping import Float32

from farm.media.film.formats import CODECS
from farm.media.film.matrices import MATRICES, presumed_matrix
from farm.media.frame import Frame, from_levels, to_levels
from farm.model.film import Colour

__all__ = ["colour_of", "depth_of", "draw", "pixels_of", "turn"]

Pixels = Float32[np.ndarray, "height width 3"]
Plane = Float32[np.ndarray, "rows columns"]

_EXACT: Final = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_BAND: Final = 32
"""Rows that are computed at a time, so that they stay in the processor's cache."""


def depth_of(frame: VideoFrame) -> int:
    """Return the bits a sample, at least 8."""
    return max(8, *(component.bits for component in frame.format.components))


def turn(frame: VideoFrame) -> int:
    """Return how many quarter turns against the clock put the frame upright, 0..3."""
    return round(frame.rotation / 90) % 4


def colour_of(frame: VideoFrame) -> Colour:
    """Return the frame's colour tags; a matrix that is missing or unknown is presumed.

    RGB has matrix 0.
    """
    if not _is_yuv(frame):
        return Colour(frame.color_primaries, frame.color_trc, 0, is_full=True)
    is_full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    known = frame.colorspace in MATRICES
    matrix = frame.colorspace if known else presumed_matrix(frame.height)
    return Colour(frame.color_primaries, frame.color_trc, matrix, is_full)


def pixels_of(frame: VideoFrame, height: int, width: int) -> Pixels:
    """Return a frame's pixels, 0..1, upright. height, width: of the frame before it is turned."""
    if _is_yuv(frame):
        pixels = _from_yuv(frame, height, width)
    else:
        depth = depth_of(frame)
        form, peak = ("rgb24", 255) if depth == 8 else ("rgb48le", 65535)
        pixels = from_levels(_reformat(frame, height, width, form).to_ndarray(), peak)
    return np.ascontiguousarray(np.rot90(pixels, turn(frame)))


def _is_yuv(frame: VideoFrame) -> bool:
    form = frame.format
    return not (form.is_rgb or form.has_palette or form.name.startswith(("mono", "xyz")))


def _reformat(frame: VideoFrame, height: int, width: int, form: str) -> VideoFrame:
    """Return the frame in another layout and size, its colours as they are."""
    is_full = colour_of(frame).is_full or frame.format.name.startswith("gray")  # as sws sees grey
    range_ = ColorRange.JPEG if is_full else ColorRange.MPEG
    ranges = {"src_color_range": range_, "dst_color_range": range_}
    spaces = {"src_colorspace": 5, "dst_colorspace": 5} if _is_yuv(frame) else {}
    return frame.reformat(width, height, form, interpolation=_EXACT, threads=1, **spaces, **ranges)


def _from_yuv(frame: VideoFrame, height: int, width: int) -> Pixels:
    depth, colour = depth_of(frame), colour_of(frame)
    form = "yuv444p" if depth == 8 else f"yuv444p{depth}le"
    planes = [view[:, :width] for view in _views(_reformat(frame, height, width, form), depth)]
    pixels = np.empty((height, width, 3), np.float32)
    for start in range(0, height, _BAND):
        rows = slice(start, start + _BAND)
        _to_rgb([plane[rows] for plane in planes], colour, depth, pixels[rows])
    return pixels


def _views(frame: VideoFrame, depth: int) -> Iterator[np.ndarray]:
    """Yield each plane's samples, with what stands to the right of the picture."""
    kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), kind)
        yield samples.reshape(plane.height, plane.line_size // kind.itemsize)


def _scales(colour: Colour, depth: int) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return the first level of luma and its span, and the middle one of chroma and its span.

    Source: ITU-T H.273, equations 22 to 33.
    """
    unit, peak = 2 ** (depth - 8), 2**depth - 1
    low, span, chroma = (0, peak, peak) if colour.is_full else (16 * unit, 219 * unit, 224 * unit)
    return np.float32(low), np.float32(span), np.float32(128 * unit), np.float32(chroma)


def _to_rgb(planes: list[np.ndarray], colour: Colour, depth: int, pixels: Pixels) -> None:
    """Write the colours of planes of samples. Source: ITU-T H.273, equations 47 to 49."""
    red, blue = map(np.float32, MATRICES[colour.matrix])
    green, two = np.float32(1) - red - blue, np.float32(2)
    low, span, middle, chroma = _scales(colour, depth)
    y, cb, cr = (plane.astype(np.float32) for plane in planes)
    y = (y - low) / span
    cb = (cb - middle) * (two * (1 - blue) / chroma)
    cr = (cr - middle) * (two * (1 - red) / chroma)
    np.clip(y + cr, 0, 1, out=pixels[..., 0])
    np.clip(y - cr * (red / green) - cb * (blue / green), 0, 1, out=pixels[..., 1])
    np.clip(y + cb, 0, 1, out=pixels[..., 2])


def draw(frame: Frame, codec: str, depth: int, colour: Colour) -> VideoFrame:
    """Return the pixels as the codec takes them: RGB, or planes of luma and chroma, 4:2:0.

    A codec of even sides has the last row and column repeated. colour: its matrix is a known one,
    or 0 for RGB.
    """
    form = CODECS[codec].pixels[depth]
    if CODECS[codec].is_rgb:
        layout = "rgb24" if depth == 8 else "rgb48le"
        return VideoFrame.from_ndarray(to_levels(frame.pixels, depth), layout).reformat(
            format=form, threads=1
        )
    pixels = frame.pixels
    height, width = (side % 2 for side in pixels.shape[:2])
    if CODECS[codec].is_even and (height or width):
        pixels = np.pad(pixels, ((0, height), (0, width), (0, 0)), "edge")
    drawn = VideoFrame(pixels.shape[1], pixels.shape[0], form)
    _fill(list(_views(drawn, depth)), pixels, colour, depth, is_left=CODECS[codec].is_left)
    drawn.colorspace, drawn.color_range = colour.matrix, 2 if colour.is_full else 1
    drawn.color_primaries, drawn.color_trc = colour.primaries, colour.transfer
    return drawn


def _fill(
    planes: list[np.ndarray], pixels: Pixels, colour: Colour, depth: int, *, is_left: bool
) -> None:
    low, span, middle, chroma = _scales(colour, depth)
    width, peak = pixels.shape[1], 2**depth - 1
    for start in range(0, pixels.shape[0], _BAND):
        rows = pixels[start : start + _BAND]
        y, cb, cr = _to_yuv(rows, colour)
        planes[0][start : start + len(rows), :width] = np.rint(y * span + low)
        for plane, values in zip(planes[1:], (cb, cr), strict=True):
            small = np.rint(_halved(values, is_left=is_left) * chroma + middle)
            half = start // 2
            np.clip(small, 0, peak, out=small)
            plane[half : half + small.shape[0], : small.shape[1]] = small


def _to_yuv(pixels: Pixels, colour: Colour) -> tuple[Plane, Plane, Plane]:
    """Return luma 0..1 and chroma -0.5..0.5. Source: ITU-T H.273, equations 38 to 40."""
    red, blue = map(np.float32, MATRICES[colour.matrix])
    r, g, b = (np.clip(pixels[..., channel], 0, 1) for channel in range(3))
    y = r * red + g * (1 - red - blue) + b * blue
    return y, (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))


def _halved(values: Plane, *, is_left: bool) -> Plane:
    """Return a plane of half the height and width, rounded up.

    is_left: a sample stands at the left one of its two columns, else between them.
    """
    rows, columns = (side % 2 for side in values.shape)
    values = np.pad(values, ((0, rows), (0, columns)), "edge")
    values = (values[0::2] + values[1::2]) * np.float32(0.5)
    left, right = values[:, 0::2], values[:, 1::2]
    if is_left:
        before = np.concatenate((values[:, :1], right[:, :-1]), axis=1)
        right = (before + right) * np.float32(0.5)
    halved: np.ndarray = (left + right) * np.float32(0.5)
    return halved
