"""Joining parts into a film: packets are copied, and the source's sound goes beside them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from heapq import merge
from pathlib import Path
from typing import Any, Final

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from farm.media.film.formats import Container, container_of
from farm.media.film.gif import write_gif
from farm.media.film.parts import packets_of, read_timeline
from farm.media.film.record import COMMENT
from farm.media.film.shape import ROOM, write_shape
from farm.media.film.sound import add_sound
from farm.media.film.source import opened_container
from farm.media.record import to_text
from farm.model.film import FilmFormat
from farm.storage import open_whole, output_path, sha256_file

__all__ = ["join_parts"]

_OWN: Final = frozenset(
    {"compatible_brands", "creation_time", "duration", "encoder", "major_brand", "minor_version"}
)
"""What a container says of itself, not of its film."""

_TAG: Final = {"hevc": "hvc1"}
"""Names of codecs in MP4 that every player knows, where libav's differ."""


def join_parts(  # noqa: PLR0917 - what a unit of joining holds
    target: str,
    form: FilmFormat,
    parts: Sequence[str],
    sound: str | None,
    span: tuple[float, float] | None,
    record: Mapping[str, object],
) -> str:
    """Join parts into a film and return the file's SHA-256.

    Frames keep their times exactly, as far as the container can: WebM and Matroska count
    milliseconds, GIF hundredths. sound: a film whose sound tracks, title and the like go with
    the pictures; None for none. span: seconds of it that the pictures cover; None for all.
    record: anything JSON holds, empty for none; read_film_record gives it back.

    Raises BadInput where a part or the sound cannot be read, BadOutput where the place cannot be
    written, StorageFailed where reading or writing failed on the way.
    """
    container = container_of(target)
    comment = to_text(record) if record else ""
    timeline = read_timeline(parts, Fraction(*form.time_base))
    with open_whole(output_path(target)) as file:
        if form.codec == "gif":
            write_gif(file, parts, timeline, comment)
            file.flush()
        else:
            with ExitStack() as stack:
                source = stack.enter_context(opened_container(sound)) if sound else None
                options = _options(container, timeline.unit)
                out = av.open(file.name, "w", container.name, container_options=options)
                stack.enter_context(out)
                out.metadata.update(_metadata(source, comment))
                stream = _add_stream(out, container, form, parts[0])
                stream.codec_context.framerate = timeline.rate()
                pictures = _on(stream, packets_of(parts, timeline))
                sounds = add_sound(out, container, source, span) if source else iter(())
                for packet in merge(pictures, sounds, key=_decoded):
                    out.mux(packet)
            if _needs_shape(container, form):
                size = stream.codec_context.height, stream.codec_context.width
                write_shape(Path(file.name), *size, Fraction(*form.aspect))
        return sha256_file(Path(file.name))


def _options(container: Container, unit: Fraction) -> dict[str, str]:
    if container.name not in {"mp4", "mov"}:
        # Else sound that starts before 0, to warm its decoder up, would move the pictures.
        return {"avoid_negative_ts": "disabled", "fflags": "+bitexact"}
    scale = str(unit.denominator)
    scales = {"video_track_timescale": scale, "movie_timescale": scale}
    return {"movflags": "+faststart", "fflags": "+bitexact", **scales}


def _metadata(source: InputContainer | None, comment: str) -> dict[str, str]:
    """Return what the source says of its film, and the comment in place of its own."""
    kept = {}
    if source:
        kept = {name: text for name, text in source.metadata.items() if name.lower() not in _OWN}
    if comment:
        kept = {name: text for name, text in kept.items() if name.lower() != COMMENT}
        kept[COMMENT] = comment
    return kept


def _add_stream(
    out: OutputContainer, container: Container, form: FilmFormat, part: str
) -> VideoStream:
    with opened_container(part) as first:
        stream = out.add_stream_from_template(first.streams.video[0], opaque=True)
    context = stream.codec_context
    stream.time_base = Fraction(*form.time_base)
    if _needs_shape(container, form):
        stream.metadata["title"] = ROOM
    context.sample_aspect_ratio = Fraction(*form.aspect)
    context.color_primaries, context.color_trc = form.colour.primaries, form.colour.transfer
    context.colorspace = form.colour.matrix
    context.color_range = 2 if form.colour.is_full else 1
    if form.codec in _TAG and container.name in {"mp4", "mov"}:
        context.codec_tag = _TAG[form.codec]
    return stream


def _needs_shape(container: Container, form: FilmFormat) -> bool:
    return container.name in {"matroska", "webm"} and form.aspect != (1, 1)


def _on(stream: VideoStream, packets: Iterator["Packet[Any]"]) -> Iterator["Packet[Any]"]:
    for packet in packets:
        packet.stream = stream
        yield packet


def _decoded(packet: "Packet[Any]") -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base
