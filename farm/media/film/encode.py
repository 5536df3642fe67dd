"""Writing a part of a film: frames encoded at their own times, whole or absent.

A part is a NUT file, which keeps any time base, and begins with a key frame that nothing before
or after it is needed for. NUT has no durations and only short texts, so a text track beside the
picture says how the part was made, and then when its last frame is over.
"""

import ctypes
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Final

import av
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from farm.errors import BadInput, BadOutput
from farm.media.bounds import one_line
from farm.media.film.formats import CODECS
from farm.media.film.pixels import draw
from farm.media.frame import Frame
from farm.media.record import to_text
from farm.model.film import FilmFormat
from farm.storage import open_whole, output_path, sha256_file

__all__ = ["encode_part"]

os.environ.setdefault("SVT_LOG", "1")  # else the AV1 encoder talks on stderr

_RATE: Final = 25
"""Frames a second that encoders are told; frames are shown at their own times all the same."""

_AT_ONCE: Final = {
    "avoid_negative_ts": "disabled",  # else times are moved to make room for what is decoded early
    "max_interleave_delta": "1",
    "fflags": "+bitexact",
}
"""Packets are written as they come, at their own times, not held for one of the text track."""

Pictures = Iterable[tuple[int, int, Frame]]


def encode_part(
    target: str, form: FilmFormat, pictures: Pictures, record: Mapping[str, object]
) -> str:
    """Write pictures of one size as a part of a film and return the file's SHA-256.

    pictures: when each is shown, how long, in the format's time base, rising from 0 or later.
    record: anything JSON holds; read_film_record gives it back. Equal input gives equal bytes on
    any machine of one kind.

    Raises BadInput where pictures differ in size, BadOutput where the codec cannot hold them or
    the place cannot be written, StorageFailed where writing failed on the way.
    """
    with open_whole(output_path(target)) as file:
        with av.open(file.name, "w", "nut", container_options=_AT_ONCE) as part:
            _write(target, part, form, pictures, record)
        _give_back()
        return sha256_file(Path(file.name))


def _give_back() -> None:
    """Hand what the encoder has freed back to the system, where the C library would keep it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:  # of glibc alone
            trim(0)


def _write(
    target: str,
    part: av.container.OutputContainer,
    form: FilmFormat,
    pictures: Pictures,
    record: Mapping[str, object],
) -> None:
    unit = Fraction(*form.time_base)
    rest = _drawn(form, pictures)
    first = next(rest)
    stream = _add_stream(target, part, form, first[2])
    text = part.add_mux_stream("text", time_base=unit)
    part.mux(_said(text, unit * first[0], to_text(record)))
    end = 0
    for time, duration, drawn in chain([first], rest):
        drawn.pts, drawn.time_base = time, unit
        part.mux(stream.encode(drawn))
        end = time + duration
    part.mux(stream.encode(None))
    part.mux(_said(text, unit * end, "end"))


def _said(stream: Stream, seconds: Fraction, words: str) -> "Packet[Any]":
    packet: Packet[Any] = Packet(words.encode())
    packet.stream = stream
    packet.pts = packet.dts = seconds.numerator
    packet.time_base = Fraction(1, seconds.denominator)
    return packet


def _drawn(form: FilmFormat, pictures: Pictures) -> Iterator[tuple[int, int, VideoFrame]]:
    """Yield pictures of one size as the codec takes them."""
    size = None
    for time, duration, frame in pictures:
        height, width = frame.pixels.shape[:2]
        size = size or (height, width)
        if (height, width) != size:
            expected = f"the film's are {size[1]}x{size[0]}"
            raise BadInput(f"frame at {time}", f"it is {width}x{height} pixels, {expected}")
        yield time, duration, draw(frame, form.codec, form.depth, form.colour)


def _add_stream(
    target: str, part: av.container.OutputContainer, form: FilmFormat, sample: VideoFrame
) -> VideoStream:
    """Return a stream that is ready to encode pictures like the sample."""
    codec = CODECS[form.codec]
    rate = min(Fraction(_RATE), 1 / Fraction(*form.time_base))  # no frame is shorter than a tick
    stream = part.add_stream(codec.encoder, rate=rate)
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    frame_bytes = sample.width * sample.height * sample.format.padded_bits_per_pixel // 8
    context.options = codec.options_for(form.quality, frame_bytes)
    context.width, context.height = sample.width, sample.height
    context.pix_fmt = sample.format.name
    context.time_base = stream.time_base = Fraction(*form.time_base)
    context.sample_aspect_ratio = Fraction(*form.aspect)
    context.thread_type, context.thread_count = "FRAME", codec.threads
    context.color_primaries = form.colour.primaries
    context.color_trc = form.colour.transfer
    context.colorspace = form.colour.matrix
    context.color_range = 2 if form.colour.is_full else 1
    try:
        context.open()
    except (FFmpegError, ValueError) as error:
        reason = f"{form.codec} cannot hold {sample.width}x{sample.height} pixels"
        raise BadOutput(target, f"{reason} ({one_line(error)})") from error
    return stream
