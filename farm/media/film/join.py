"""Joins parts into a film: copies their packets and adds the source's sound."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from farm.media.film.codecs import Container, container_of
from farm.media.film.decoding import open_container
from farm.media.film.extras import chapters_in
from farm.media.film.film_record import COMMENT
from farm.media.film.gif import write_gif
from farm.media.film.matroska_aspect import PLACEHOLDER, write_aspect
from farm.media.film.sound import add_sound
from farm.media.film.timeline import Timeline, packets_of, read_timeline
from farm.media.film.window import Window
from farm.media.record import to_text
from farm.model.film import FilmFormat
from farm.storage import open_whole, sha256_file

__all__ = ["join_parts"]

_CONTAINER_TAGS: Final = frozenset(
    {
        *("compatible_brands", "creation_time", "duration", "encoder", "major_brand"),
        *("minor_version", "timecode"),
    }
)
"""Metadata about a container or about single frames, not about its film."""

_CODEC_TAGS: Final = {"hevc": "hvc1"}
"""Codec tags in MP4 that every player supports, if libav's differ."""


def join_parts(  # noqa: PLR0917 - the fields of a join
    target: str,
    film_format: FilmFormat,
    parts: Sequence[str],
    sound: str | None,
    span: tuple[float, float] | None,
    record: Mapping[str, object],
    check: Callable[[], object] = lambda: None,
) -> str:
    """Join parts into a film and return the file's SHA-256.

    Frames keep their times as exactly as the container allows: WebM and Matroska round to
    milliseconds, GIF to hundredths of a second. sound: a film whose sound tracks and metadata are
    added, or None. span: the seconds of it that the pictures cover; None for all. record: anything
    JSON can represent, empty for none; read_film_record returns it. check: called once the film is
    complete; if it raises, no film appears.

    Raises BadInput if a part or the sound cannot be read, BadOutput if the path cannot be written,
    StorageFailed if the storage fails.
    """
    container = container_of(target)
    comment = to_text(record) if record else ""
    timeline = read_timeline(parts, Fraction(*film_format.time_base))
    with open_whole(target) as file:
        if film_format.codec == "gif":
            write_gif(file, parts, timeline, comment)
            file.flush()
        else:
            _write_film(file.name, container, film_format, parts, timeline, sound, span, comment)
        check()
        return sha256_file(Path(file.name))


def _write_film(  # noqa: PLR0917 - the fields of a join
    path: str,
    container: Container,
    film_format: FilmFormat,
    parts: Sequence[str],
    timeline: Timeline,
    sound: str | None,
    span: tuple[float, float] | None,
    comment: str,
) -> None:
    with ExitStack() as stack:
        source = stack.enter_context(open_container(sound)) if sound else None
        options = _muxer_options(container, timeline.unit)
        out = av.open(os.path.abspath(path), "w", container.name, container_options=options)  # noqa: PTH100 - no protocol
        stack.enter_context(out)
        out.metadata.update(_metadata(source, comment))
        stream = _add_stream(out, container, film_format, parts[0])
        stream.codec_context.framerate = timeline.rate()
        pictures = _assign(stream, packets_of(parts, timeline))
        sounds = _add_rest(out, container, source, span) if source else iter(())
        for packet in merge(pictures, sounds, key=_decoding_time):
            out.mux(packet)
    if _needs_aspect(container, film_format):
        size = stream.codec_context.height, stream.codec_context.width
        write_aspect(Path(path), *size, Fraction(*film_format.aspect))


def _add_rest(
    out: OutputContainer,
    container: Container,
    source: InputContainer,
    span: tuple[float, float] | None,
) -> Iterator["Packet[Any]"]:
    """Add the source's chapters, and return the packets of its sound and subtitles."""
    window = Window.of(source, span)
    out.set_chapters(chapters_in(source, window))
    return add_sound(out, container, source, window)


def _muxer_options(container: Container, unit: Fraction) -> dict[str, str]:
    if container.name not in {"mp4", "mov"}:
        # otherwise sound that starts before 0 (priming) would shift the pictures
        return {"avoid_negative_ts": "disabled", "fflags": "+bitexact"}
    scale = str(unit.denominator)
    scales = {"video_track_timescale": scale, "movie_timescale": scale}
    return {"movflags": "+faststart", "fflags": "+bitexact", **scales}


def _metadata(source: InputContainer | None, comment: str) -> dict[str, str]:
    """Return the source's metadata about its film, with its comment replaced."""
    metadata = {}
    if source:
        tags = source.metadata.items()
        metadata = {name: text for name, text in tags if name.lower() not in _CONTAINER_TAGS}
    if comment:
        metadata = {name: text for name, text in metadata.items() if name.lower() != COMMENT}
        metadata[COMMENT] = comment
    return metadata


def _add_stream(
    out: OutputContainer, container: Container, film_format: FilmFormat, part: str
) -> VideoStream:
    with open_container(part) as first:
        stream = out.add_stream_from_template(first.streams.video[0], opaque=True)
    context, colour = stream.codec_context, film_format.colour
    stream.time_base = Fraction(*film_format.time_base)
    stream.disposition = Disposition.default
    if _needs_aspect(container, film_format):
        stream.metadata["title"] = PLACEHOLDER
    context.sample_aspect_ratio = Fraction(*film_format.aspect)
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.colorspace = colour.matrix
    context.color_range = 2 if colour.is_full else 1
    if film_format.codec in _CODEC_TAGS and container.name in {"mp4", "mov"}:
        context.codec_tag = _CODEC_TAGS[film_format.codec]
    return stream


def _needs_aspect(container: Container, film_format: FilmFormat) -> bool:
    return container.name in {"matroska", "webm"} and film_format.aspect != (1, 1)


def _assign(stream: VideoStream, packets: Iterator["Packet[Any]"]) -> Iterator["Packet[Any]"]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _decoding_time(packet: "Packet[Any]") -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base
