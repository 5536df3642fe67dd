"""Opening a film of unknown origin, and decoding what of it can be decoded."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from farm.errors import BadInput, FarmError, StorageFailed
from farm.media.bounds import one_line
from farm.media.formats import MAX_PIXELS
from farm.storage import input_path

__all__ = [
    "Opened",
    "Packets",
    "decode",
    "opened",
    "opened_container",
    "origin_of",
    "refusals",
    "tracks_of",
]

JUMP: Final = Fraction(1, 4)
"""Seconds: where times fall back by so much or more, a clock was set anew."""

_FORMATS: Final = "mov,matroska,gif,avi,mpeg,mpegts,asf,flv,ogg,mxf,mp3,wav,flac,aac,nut"
"""Demuxers that may open a file: none that follows links to other files or hosts."""

Packets = Iterator["Packet[Any]"]

_LOST: Final = frozenset({errno.ESTALE, errno.ETIMEDOUT})
"""The file is out of reach. EIO is also what some demuxers say of a file that is cut short."""

_PASSING: Final = frozenset({errno.EIO, *_LOST})


@dataclass
class Opened:
    """A film that is open to be decoded.

    height, width: of its frames before they are turned. origin: what the container calls time 0,
    in the stream's time base; players begin there. failures: packets that were not decoded.
    """

    url: str
    container: InputContainer
    stream: VideoStream
    height: int
    width: int
    origin: int
    failures: int = 0

    @property
    def time_base(self) -> Fraction:
        assert self.stream.time_base
        return self.stream.time_base


@contextmanager
def opened_container(url: str) -> Iterator[InputContainer]:
    """Open a file of sound or pictures. Raises BadInput where it is none, StorageFailed."""
    with refusals(url):
        container = _open(url, input_path(url))
    with container:
        yield container


def _open(url: str, path: Path) -> InputContainer:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(url, "this is no file; give a film")
    if not status.st_size:
        raise BadInput(url, "the file is empty")
    return av.open(
        os.path.abspath(path),  # noqa: PTH100 - so that no colon names a protocol
        container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
        metadata_errors="replace",
    )


@contextmanager
def opened(url: str, threads: int = 0) -> Iterator[Opened]:
    """Open a film's first video track.

    threads: that decode; 0 for as many as fit the machine. Frames do not depend on them, unless
    some are damaged.

    Raises BadInput where it is no film or its frames are too large, StorageFailed where reading
    failed on the way.
    """
    with opened_container(url) as container:
        yield _open_track(url, container, threads)


def tracks_of(container: InputContainer) -> list[VideoStream]:
    """Return the tracks of moving pictures: no covers."""
    videos = container.streams.video
    return [track for track in videos if not track.disposition & Disposition.attached_pic]


def origin_of(container: InputContainer) -> Fraction:
    """Return the container's time, in seconds, that is time 0 of its film.

    It is where the container starts, as players have it; but sound that starts before 0, to warm
    its decoder up, does not move the pictures.
    """
    start = Fraction(container.start_time or 0, av.time_base)
    if start >= 0:
        return start
    firsts = [
        t.start_time * t.time_base for t in tracks_of(container) if t.start_time and t.time_base
    ]
    return min([Fraction(0), *firsts[:1]])


def _open_track(url: str, container: InputContainer, threads: int) -> Opened:
    tracks = tracks_of(container)
    if not tracks:
        only = ", only sound" if container.streams.audio else ""
        raise BadInput(url, f"there is no film in it{only}")
    stream, context = tracks[0], tracks[0].codec_context
    if context is None:
        raise BadInput(url, "its codec is not known here")
    height, width = context.height, context.width
    if not (height and width and stream.time_base):
        raise BadInput(url, "not a film, damaged, or of a format that is not read")
    context.options = {"max_pixels": str(MAX_PIXELS)}
    context.thread_type = "AUTO"
    context.thread_count = threads
    origin = round(origin_of(container) / stream.time_base)
    return Opened(url, container, stream, height, width, origin)


def decode(film: Opened, packets: Packets) -> Iterator[VideoFrame]:
    """Yield the frames that packets of the film hold; failures are counted and passed over."""
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            if error.errno in _LOST:
                raise StorageFailed(film.url, str(error.strerror).lower()) from error
            film.failures += 1
            packet = None
        frames = _decode(film, packet)
        film.failures += sum(frame.is_corrupt for frame in frames)
        yield from frames
        if packet is None:
            return


def _decode(film: Opened, packet: "Packet[Any] | None") -> list[VideoFrame]:
    if packet is not None and not packet.size:
        return []
    try:
        return film.stream.codec_context.decode(packet)
    except EOFError:
        return []
    except FFmpegError:
        film.failures += 1
        return []


@contextmanager
def refusals(url: str) -> Iterator[None]:
    """Turn what libav raises on a file into one line that names it."""
    try:
        yield
    except FarmError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise (StorageFailed if error.errno in _PASSING else BadInput)(url, reason) from error
    except MemoryError as error:
        raise BadInput(url, "decoding it takes more memory than there is") from error
    except FFmpegError as error:
        raise BadInput(url, "not a film, damaged, or of a format that is not read") from error
    except (ValueError, RuntimeError) as error:
        raise BadInput(url, f"damaged film: {one_line(error)}") from error
