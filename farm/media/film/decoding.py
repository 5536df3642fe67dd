"""Opens films from untrusted files and decodes as much of them as possible."""

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

from farm.errors import BadInput, FarmError, StorageUnavailable
from farm.media.bounds import one_line
from farm.storage import UNREACHABLE, input_path, read_trouble

__all__ = [
    "CLOCK_RESET",
    "MAX_FRAME_PIXELS",
    "OpenFilm",
    "Packets",
    "decode",
    "open_container",
    "open_film",
    "origin_of",
    "translated_errors",
    "video_tracks",
]

CLOCK_RESET: Final = Fraction(1, 4)
"""Seconds; times that fall back by at least this much mean that the clock was reset."""

MAX_FRAME_PIXELS: Final = 2**27
"""Pixels of the largest frame that can be read, such as 16384x8192: 1.6 GB once decoded."""

_DEMUXERS: Final = "mov,matroska,gif,avi,mpeg,mpegts,asf,flv,ogg,mxf,mp3,wav,flac,aac,nut"
"""Demuxers that may open a file; none of them follows links to other files or hosts."""

Packets = Iterator["Packet[Any]"]


@dataclass
class OpenFilm:
    """A film that is open for decoding.

    height, width: of its frames before rotation. origin: time 0 of the container, where players
    start, in the stream's time base. failures: packets and frames that could not be decoded.
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
def open_container(url: str) -> Iterator[InputContainer]:
    """Open a file with video or sound. Raises BadInput or StorageFailed."""
    with translated_errors(url):
        container = _open(url, input_path(url))
    with container:
        yield container


def _open(url: str, path: Path) -> InputContainer:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(url, "not a file; give a film")
    if not status.st_size:
        raise BadInput(url, "the file is empty")
    return av.open(
        os.path.abspath(path),  # noqa: PTH100 - an absolute path cannot start with a protocol
        options={"max_pixels": str(MAX_FRAME_PIXELS)},  # opening a file decodes its first frames
        container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"},
        metadata_errors="replace",
    )


@contextmanager
def open_film(url: str, threads: int = 0) -> Iterator[OpenFilm]:
    """Open a film's first video track.

    threads: for decoding; 0 for as many as suit the machine. Only damaged frames depend on them.

    Raises BadInput if the file is not a film or its frames are too large, StorageFailed if the
    storage fails.
    """
    with open_container(url) as container:
        yield _open_track(url, container, threads)


def video_tracks(container: InputContainer) -> list[VideoStream]:
    """Return the video tracks, without cover pictures."""
    videos = container.streams.video
    return [track for track in videos if not track.disposition & Disposition.attached_pic]


def origin_of(container: InputContainer) -> Fraction:
    """Return the container time, in seconds, that is time 0 of its film.

    This is the container's start, as in players, except that sound that starts before 0 (priming)
    does not shift the pictures.
    """
    start = Fraction(container.start_time or 0, av.time_base)
    if start >= 0:
        return start
    starts = [
        track.start_time * track.time_base
        for track in video_tracks(container)
        if track.start_time and track.time_base
    ]
    return min([Fraction(0), *starts[:1]])


def _open_track(url: str, container: InputContainer, threads: int) -> OpenFilm:
    tracks = video_tracks(container)
    if not tracks:
        sound = ", only sound" if container.streams.audio else ""
        raise BadInput(url, f"it has no pictures{sound}; give a film")
    stream, context = tracks[0], tracks[0].codec_context
    if context is None:
        raise BadInput(url, "its codec is not supported")
    height, width = context.height, context.width
    if not (height and width and stream.time_base):
        limit = f"frames have at most {MAX_FRAME_PIXELS:,} pixels"
        raise BadInput(url, f"not a film, damaged, or in an unsupported format ({limit})")
    context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    context.thread_type = "AUTO"
    context.thread_count = threads
    origin = round(origin_of(container) / stream.time_base)
    return OpenFilm(url, container, stream, height, width, origin)


def decode(film: OpenFilm, packets: Packets) -> Iterator[VideoFrame]:
    """Yield the frames in packets of the film; skip and count failures."""
    while True:
        try:
            packet = next(packets, None)
        except FFmpegError as error:
            _check_storage(film.url, error)
            film.failures += 1
            packet = None
        frames = _decode(film, packet)
        film.failures += sum(frame.is_corrupt for frame in frames)
        yield from frames
        if packet is None:
            return


def _check_storage(url: str, error: FFmpegError) -> None:
    """Raise the farm error of a storage that fails; some demuxers report EIO for truncated files."""
    trouble = read_trouble(url, OSError(error.errno, error.strerror))
    if trouble and (error.errno in UNREACHABLE or isinstance(trouble, StorageUnavailable)):
        raise trouble from error


def _decode(film: OpenFilm, packet: "Packet[Any] | None") -> list[VideoFrame]:
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
def translated_errors(url: str) -> Iterator[None]:
    """Translate libav's errors about a file into BadInput or StorageFailed, in one line."""
    try:
        yield
    except FarmError:
        raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise read_trouble(url, error) or BadInput(url, reason) from error
    except MemoryError as error:
        raise BadInput(url, "not enough memory to decode it") from error
    except FFmpegError as error:
        raise BadInput(url, "not a film, damaged, or in an unsupported format") from error
    except (ValueError, RuntimeError) as error:
        raise BadInput(url, f"damaged film: {one_line(error)}") from error
