"""Converts decoded frames to pixels and back: colour matrix, range, depth and rotation.

libswscale only changes the layout of samples. Colours are computed here, because its conversion to
48 bits is off by up to 15 of 4095 and overflows at the extremes.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from av import VideoFrame
from av.video.reformatter import ColorRange, Interpolation
from jaxtyping import Float32

from farm.media.film.codecs import CODECS
from farm.media.film.colour_matrices import MATRICES, default_matrix
from farm.media.frame import Frame, from_levels, to_levels
from farm.model.film import Colour

__all__ = ["colour_of", "depth_of", "pixels_of", "quarter_turns", "to_video_frame"]

Pixels = Float32[np.ndarray, "height width 3"]
Plane = Float32[np.ndarray, "rows columns"]

_EXACT: Final = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_BAND: Final = 32
"""Rows to convert at a time, few enough to stay in the processor's cache."""


def depth_of(frame: VideoFrame) -> int:
    """Return the bits per sample, at least 8."""
    return max(8, *(component.bits for component in frame.format.components))


def quarter_turns(frame: VideoFrame) -> int:
    """Return the number of counterclockwise quarter turns that put the frame upright, 0..3."""
    return round(frame.rotation / 90) % 4


def colour_of(frame: VideoFrame) -> Colour:
    """Return the frame's colour tags, with the default for a missing or unknown matrix.

    RGB has matrix 0.
    """
    if not _is_yuv(frame):
        return Colour(frame.color_primaries, frame.color_trc, 0, is_full=True)
    is_full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")
    known = frame.colorspace in MATRICES
    matrix = frame.colorspace if known else default_matrix(frame.height)
    return Colour(frame.color_primaries, frame.color_trc, matrix, is_full)


def pixels_of(frame: VideoFrame, height: int, width: int) -> Pixels:
    """Return a frame's pixels, 0..1, upright. height, width: to scale to, before the rotation."""
    if _is_yuv(frame):
        pixels = _from_yuv(frame, height, width)
    else:
        depth = depth_of(frame)
        layout, peak = ("rgb24", 255) if depth == 8 else ("rgb48le", 65535)
        pixels = from_levels(_reformat(frame, height, width, layout).to_ndarray(), peak)
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns(frame)))


def _is_yuv(frame: VideoFrame) -> bool:
    layout = frame.format
    return not (layout.is_rgb or layout.has_palette or layout.name.startswith(("mono", "xyz")))


def _reformat(frame: VideoFrame, height: int, width: int, layout: str) -> VideoFrame:
    """Return the frame in another layout and size, without a colour conversion."""
    is_full = colour_of(frame).is_full or frame.format.name.startswith(
        "gray"
    )  # swscale treats grey this way
    range_ = ColorRange.JPEG if is_full else ColorRange.MPEG
    ranges = {"src_color_range": range_, "dst_color_range": range_}
    spaces = {"src_colorspace": 5, "dst_colorspace": 5} if _is_yuv(frame) else {}
    return frame.reformat(
        width, height, layout, interpolation=_EXACT, threads=1, **spaces, **ranges
    )


def _from_yuv(frame: VideoFrame, height: int, width: int) -> Pixels:
    depth, colour = depth_of(frame), colour_of(frame)
    layout = "yuv444p" if depth == 8 else f"yuv444p{depth}le"
    planes = [view[:, :width] for view in _views(_reformat(frame, height, width, layout), depth)]
    pixels = np.empty((height, width, 3), np.float32)
    for start in range(0, height, _BAND):
        rows = slice(start, start + _BAND)
        _to_rgb([plane[rows] for plane in planes], colour, depth, pixels[rows])
    return pixels


def _views(frame: VideoFrame, depth: int) -> Iterator[np.ndarray]:
    """Yield each plane's samples, padding at the right included."""
    kind = np.dtype(np.uint8 if depth == 8 else np.uint16)
    for plane in frame.planes:
        samples = np.frombuffer(memoryview(plane), kind)
        yield samples.reshape(plane.height, plane.line_size // kind.itemsize)


def _scales(colour: Colour, depth: int) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return the lowest level and span of luma, and the middle level and span of chroma.

    Source: ITU-T H.273, equations 22 to 33.
    """
    unit, peak = 2 ** (depth - 8), 2**depth - 1
    low, span, chroma = (0, peak, peak) if colour.is_full else (16 * unit, 219 * unit, 224 * unit)
    return np.float32(low), np.float32(span), np.float32(128 * unit), np.float32(chroma)


def _to_rgb(planes: list[np.ndarray], colour: Colour, depth: int, pixels: Pixels) -> None:
    """Convert planes of samples into pixels. Source: ITU-T H.273, equations 47 to 49."""
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


def to_video_frame(frame: Frame, codec: str, depth: int, colour: Colour) -> VideoFrame:
    """Convert a picture to the codec's layout: RGB, or luma and chroma planes in 4:2:0.

    Repeats the last row or column if the codec needs even sides. colour: with a known matrix, or 0
    for RGB.
    """
    layout = CODECS[codec].pixel_formats[depth]
    if CODECS[codec].is_rgb:
        packed = "rgb24" if depth == 8 else "rgb48le"
        levels = to_levels(frame.pixels, depth)
        return VideoFrame.from_ndarray(levels, packed).reformat(format=layout, threads=1)
    pixels = frame.pixels
    extra_row, extra_column = (side % 2 for side in pixels.shape[:2])
    if CODECS[codec].has_even_sides and (extra_row or extra_column):
        pixels = np.pad(pixels, ((0, extra_row), (0, extra_column), (0, 0)), "edge")
    video_frame = VideoFrame(pixels.shape[1], pixels.shape[0], layout)
    _fill_planes(
        list(_views(video_frame, depth)),
        pixels,
        colour,
        depth,
        is_left=CODECS[codec].has_left_chroma,
    )
    video_frame.colorspace, video_frame.color_range = colour.matrix, 2 if colour.is_full else 1
    video_frame.color_primaries, video_frame.color_trc = colour.primaries, colour.transfer
    return video_frame


def _fill_planes(
    planes: list[np.ndarray], pixels: Pixels, colour: Colour, depth: int, *, is_left: bool
) -> None:
    low, span, middle, chroma = _scales(colour, depth)
    width, peak = pixels.shape[1], 2**depth - 1
    for start in range(0, pixels.shape[0], _BAND):
        rows = pixels[start : start + _BAND]
        y, cb, cr = _to_yuv(rows, colour)
        planes[0][start : start + len(rows), :width] = np.rint(y * span + low)
        for plane, values in zip(planes[1:], (cb, cr), strict=True):
            small = np.rint(_half_size(values, is_left=is_left) * chroma + middle)
            half = start // 2
            np.clip(small, 0, peak, out=small)
            plane[half : half + small.shape[0], : small.shape[1]] = small


def _to_yuv(pixels: Pixels, colour: Colour) -> tuple[Plane, Plane, Plane]:
    """Return luma 0..1 and chroma -0.5..0.5. Source: ITU-T H.273, equations 38 to 40."""
    red, blue = map(np.float32, MATRICES[colour.matrix])
    r, g, b = (np.clip(pixels[..., channel], 0, 1) for channel in range(3))
    y = r * red + g * (1 - red - blue) + b * blue
    return y, (b - y) / (2 * (1 - blue)), (r - y) / (2 * (1 - red))


def _half_size(values: Plane, *, is_left: bool) -> Plane:
    """Return a plane at half the height and width, rounded up.

    is_left: samples are at the left of their two columns, not between them.
    """
    extra_row, extra_column = (side % 2 for side in values.shape)
    values = np.pad(values, ((0, extra_row), (0, extra_column)), "edge")
    values = (values[0::2] + values[1::2]) * np.float32(0.5)
    left, right = values[:, 0::2], values[:, 1::2]
    if is_left:
        before_left = np.concatenate((values[:, :1], right[:, :-1]), axis=1)
        right = (before_left + right) * np.float32(0.5)
    halved: np.ndarray = (left + right) * np.float32(0.5)
    return halved
