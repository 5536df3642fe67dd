"""Writes a GIF with one palette for all frames, holding few of them in memory."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import BinaryIO, Final

import av
from av.error import BlockingIOError as NoFrameYet
from av.error import EOFError as AtEnd
from av.error import PyAVCallbackError
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from farm.media.film.timeline import Timeline, frames_of

__all__ = ["write_gif"]

_UNIT: Final = Fraction(1, 100)
"""Seconds; the only time base of GIF."""

_HEADER_BYTES: Final = 13
_BLOCK_BYTES: Final = 255


def write_gif(file: BinaryIO, parts: Sequence[str], timeline: Timeline, comment: str) -> None:
    """Write parts as a GIF that loops forever. comment: ASCII, empty for none."""
    output = _CommentInserter(file, comment)
    try:
        _write(output, parts, timeline)
    except PyAVCallbackError as error:
        raise (output.failure or error) from error


def _write(file: "_CommentInserter", parts: Sequence[str], timeline: Timeline) -> None:
    palette, unit = _palette(parts, timeline.unit), timeline.unit
    last = round(timeline.duration(timeline.times[-1]) * unit / _UNIT)
    options = {"loop": "0", "final_delay": str(max(1, last)), "fflags": "+bitexact"}
    with av.open(file, "w", "gif", container_options=options) as out:
        stream = out.add_stream("gif", rate=100)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt, stream.codec_context.time_base = "pal8", _UNIT
        previous = -1
        for time, frame in _with_palette(parts, unit, palette):
            if previous < 0:
                stream.width, stream.height = frame.width, frame.height
            previous = max(previous + 1, round((time - timeline.times[0]) * unit / _UNIT))
            frame.pts, frame.time_base = previous, _UNIT
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _palette(parts: Sequence[str], unit: Fraction) -> VideoFrame:
    """Return the best 256 colours for all frames, as a frame."""
    graph: Graph | None = None
    for time, frame in frames_of(parts, unit):
        if graph is None:
            graph = _graph("palettegen", (frame, unit))
        frame.pts, frame.time_base = time, unit
        graph.vpush(frame)
        list(_pull(graph))  # yields nothing yet, but lets the graph free its frames
    assert graph
    graph.vpush(None)
    return graph.vpull()


def _with_palette(
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
        yield from _pull(graph)
    assert graph
    graph.vpush(None, 0)
    yield from _pull(graph)


def _graph(name: str, *inputs: tuple[VideoFrame, Fraction]) -> Graph:
    """Return a graph with one filter and a buffer for each input."""
    graph = Graph()
    graph.threads = 1
    node: FilterContext = graph.add(name)
    for index, (frame, unit) in enumerate(inputs):
        buffer = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=unit
        )
        buffer.link_to(node, 0, index)
    node.link_to(graph.add("buffersink"))
    graph.configure()
    return graph


def _pull(graph: Graph) -> Iterator[tuple[int, VideoFrame]]:
    while True:
        try:
            frame = graph.vpull()
        except (NoFrameYet, AtEnd):
            return
        assert frame.pts is not None
        yield frame.pts, frame


class _CommentInserter:
    """A file that inserts a comment after the GIF header, which is in the first bytes written.

    failure: the error of a write, which libav does not pass on.
    """

    def __init__(self, file: BinaryIO, comment: str) -> None:
        self._file = file
        self.failure: OSError | None = None
        text = comment.encode("ascii")
        blocks = (text[start : start + _BLOCK_BYTES] for start in range(0, len(text), _BLOCK_BYTES))
        content = b"".join(bytes([len(block)]) + block for block in blocks)
        self._comment = b"\x21\xfe" + content + b"\0" if text else b""

    def write(self, data: bytes) -> int:
        size = len(data)
        if self._comment:
            flags = data[10]
            palette = 3 << (flags & 7) + 1 if flags & 0x80 else 0
            end = _HEADER_BYTES + palette
            data, self._comment = data[:end] + self._comment + data[end:], b""
        try:
            self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        return size
