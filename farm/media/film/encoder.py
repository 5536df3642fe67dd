"""Encodes a part of a film, each frame at its own time, whole or not at all.

A part is a NUT file, which can use any time base, and starts with a key frame that depends on no
frame outside it. NUT has no durations and only short texts, so a text track beside the picture
stores the record first and the end time of the last frame last.
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
from farm.media.film.codecs import CODECS
from farm.media.film.conversion import to_video_frame
from farm.media.film.priority import ordinary_priority
from farm.media.frame import Frame
from farm.media.record import to_text
from farm.model.film import FilmFormat
from farm.storage import open_whole, sha256_file

__all__ = ["encode_part"]

os.environ.setdefault("SVT_LOG", "1")  # silences the AV1 encoder, which logs to stderr

_NOMINAL_RATE: Final = 25
"""Frames per second, for the encoders' rate control; frames keep their own times."""

_MUXER_OPTIONS: Final = {
    "avoid_negative_ts": "disabled",  # otherwise early decoding times shift all times
    "max_interleave_delta": "1",
    "fflags": "+bitexact",
}
"""Write packets at once and at their own times, without waiting for the text track."""

Pictures = Iterable[tuple[int, int, Frame]]


def encode_part(
    target: str, film_format: FilmFormat, pictures: Pictures, record: Mapping[str, object]
) -> str:
    """Write pictures of one size as a part of a film and return the file's SHA-256.

    pictures: the time and duration of each frame in the format's time base, from 0 on, increasing.
    record: anything JSON can represent; read_film_record returns it. Equal input gives equal bytes
    on machines of one kind.

    Raises BadInput if pictures differ in size, BadOutput if the codec cannot encode them or the
    path cannot be written, StorageFailed if the storage fails.
    """
    with open_whole(target) as file:
        path = os.path.abspath(file.name)  # noqa: PTH100 - an absolute path has no protocol
        with av.open(path, "w", "nut", container_options=_MUXER_OPTIONS) as part:
            _write(target, part, film_format, pictures, record)
        _release_memory()
        return sha256_file(Path(file.name))


def _release_memory() -> None:
    """Return the memory that the encoder freed to the system; glibc would keep it."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:  # only in glibc
            trim(0)


def _write(
    target: str,
    part: av.container.OutputContainer,
    film_format: FilmFormat,
    pictures: Pictures,
    record: Mapping[str, object],
) -> None:
    time_base = Fraction(*film_format.time_base)
    frames = _video_frames(film_format, pictures)
    first = next(frames)
    stream = _add_stream(target, part, film_format, first[2])
    text = part.add_mux_stream("text", time_base=time_base)
    part.mux(_text_packet(text, time_base * first[0], to_text(record)))
    end = 0
    for time, duration, frame in chain([first], frames):
        frame.pts, frame.time_base = time, time_base
        part.mux(stream.encode(frame))
        end = time + duration
    part.mux(stream.encode(None))
    part.mux(_text_packet(text, time_base * end, "end"))


def _text_packet(stream: Stream, seconds: Fraction, text: str) -> "Packet[Any]":
    packet: Packet[Any] = Packet(text.encode())
    packet.stream = stream
    packet.pts = packet.dts = seconds.numerator
    packet.time_base = Fraction(1, seconds.denominator)
    return packet


def _video_frames(
    film_format: FilmFormat, pictures: Pictures
) -> Iterator[tuple[int, int, VideoFrame]]:
    """Yield pictures of one size as frames for the codec."""
    size = None
    for time, duration, frame in pictures:
        height, width = frame.pixels.shape[:2]
        size = size or (height, width)
        if (height, width) != size:
            reason = (
                f"it is {width}x{height} pixels, but frames before it are {size[1]}x{size[0]}; "
                "all frames of a film need one size"
            )
            seconds = float(time * Fraction(*film_format.time_base))
            raise BadInput(f"the frame at {seconds:.2f} s", reason)
        yield (
            time,
            duration,
            to_video_frame(frame, film_format.codec, film_format.depth, film_format.colour),
        )


def _add_stream(
    target: str, part: av.container.OutputContainer, film_format: FilmFormat, sample: VideoFrame
) -> VideoStream:
    """Return a stream that is ready to encode pictures like the sample."""
    time_base = Fraction(*film_format.time_base)
    rate = min(Fraction(_NOMINAL_RATE), 1 / time_base)  # no frame is shorter than one tick
    stream = part.add_stream(CODECS[film_format.codec].encoder, rate=rate)
    assert isinstance(stream, VideoStream)
    stream.time_base = time_base
    _configure(stream, film_format, sample)
    try:
        with ordinary_priority():
            stream.codec_context.open()
    except (FFmpegError, ValueError) as error:
        reason = f"{film_format.codec} cannot encode {sample.width}x{sample.height} pixels"
        raise BadOutput(target, f"{reason} ({one_line(error)})") from error
    return stream


def _configure(stream: VideoStream, film_format: FilmFormat, sample: VideoFrame) -> None:
    codec, context = CODECS[film_format.codec], stream.codec_context
    frame_bytes = sample.width * sample.height * sample.format.padded_bits_per_pixel // 8
    context.options = codec.options_for(film_format.quality, frame_bytes)
    context.width, context.height = sample.width, sample.height
    context.pix_fmt = sample.format.name
    context.time_base = Fraction(*film_format.time_base)
    context.sample_aspect_ratio = Fraction(*film_format.aspect)
    context.thread_type, context.thread_count = "FRAME", codec.threads
    context.color_primaries = film_format.colour.primaries
    context.color_trc = film_format.colour.transfer
    context.colorspace = film_format.colour.matrix
    context.color_range = 2 if film_format.colour.is_full else 1
