"""Writing a GIF: one palette for all frames, then each frame in its colours, memory bounded."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import BinaryIO, Final

import av
from av.error import BlockingIOError as NotYet
from av.error import EOFError as AtEnd
from av.error import PyAVCallbackError
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from farm.media.film.parts import Timeline, frames_of

__all__ = ["write_gif"]

_UNIT: Final = Fraction(1, 100)
"""Seconds: the one unit that GIF has."""

_HEADER: Final = 13
_BLOCK: Final = 255


def write_gif(file: BinaryIO, parts: Sequence[str], timeline: Timeline, comment: str) -> None:
    """Write parts as a GIF that plays for ever. comment: ASCII, empty for none."""
    commented = _Commented(file, comment)
    try:
        _write(commented, parts, timeline)
    except PyAVCallbackError as error:
        raise (commented.failure or error) from error


def _write(file: "_Commented", parts: Sequence[str], timeline: Timeline) -> None:
    palette, unit = _palette(parts, timeline.unit), timeline.unit
    last = round(timeline.duration(timeline.times[-1]) * unit / _UNIT)
    options = {"loop": "0", "final_delay": str(max(1, last)), "fflags": "+bitexact"}
    with av.open(file, "w", "gif", container_options=options) as out:
        stream = out.add_stream("gif", rate=100)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt, stream.codec_context.time_base = "pal8", _UNIT
        shown = -1
        for time, frame in _in_colours(parts, unit, palette):
            if shown < 0:
                stream.width, stream.height = frame.width, frame.height
            shown = max(shown + 1, round((time - timeline.times[0]) * unit / _UNIT))
            frame.pts, frame.time_base = shown, _UNIT
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _palette(parts: Sequence[str], unit: Fraction) -> VideoFrame:
    """Return the 256 colours that suit all frames best, as a frame."""
    graph: Graph | None = None
    for time, frame in frames_of(parts, unit):
        if graph is None:
            graph = _graph("palettegen", (frame, unit))
        frame.pts, frame.time_base = time, unit
        graph.vpush(frame)
        list(_pulled(graph))  # none yet; but frames are kept until somebody asks
    assert graph
    graph.vpush(None)
    return graph.vpull()


def _in_colours(
    parts: Sequence[str], unit: Fraction, palette: VideoFrame
) -> Iterator[tuple[int, VideoFrame]]:
    """Yield each frame in the palette's colours, with its time."""
    graph: Graph | None = None
    for time, frame in frames_of(parts, unit):
        if graph is None:
            graph = _graph("paletteuse", (frame, unit), (palette, unit))
            palette.pts = 0
            graph.vpush(palette, 1)
            graph.vpush(None, 1)
        frame.pts, frame.time_base = time, unit
        graph.vpush(frame, 0)
        yield from _pulled(graph)
    assert graph
    graph.vpush(None, 0)
    yield from _pulled(graph)


def _graph(name: str, *inputs: tuple[VideoFrame, Fraction]) -> Graph:
    """Return a graph of one filter, with a buffer for each input."""
    graph = Graph()
    graph.threads = 1
    node: FilterContext = graph.add(name)
    for place, (frame, unit) in enumerate(inputs):
        buffer = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=unit
        )
        buffer.link_to(node, 0, place)
    node.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _pulled(graph: Graph) -> Iterator[tuple[int, VideoFrame]]:
    while True:
        try:
            frame = graph.vpull()
        except (NotYet, AtEnd):
            return
        assert frame.pts is not None
        yield frame.pts, frame


class _Commented:
    """A file that gets a comment behind the GIF header that is written to it first.

    failure: why writing failed, which libav does not hand on.
    """

    def __init__(self, file: BinaryIO, comment: str) -> None:
        self._file = file
        self.failure: OSError | None = None
        text = comment.encode("ascii")
        blocks = (text[start : start + _BLOCK] for start in range(0, len(text), _BLOCK))
        whole = b"".join(bytes([len(block)]) + block for block in blocks)
        self._comment = b"\x21\xfe" + whole + b"\0" if text else b""

    def write(self, written: bytes) -> int:
        size = len(written)
        if self._comment:
            colours = written[10]
            palette = 3 << (colours & 7) + 1 if colours & 0x80 else 0
            end = _HEADER + palette
            written, self._comment = written[:end] + self._comment + written[end:], b""
        try:
            self._file.write(written)
        except OSError as error:
            self.failure = error
            raise
        return size
