"""Adds the source's sound and subtitles to a film.

Copies packets, and encodes sound that the container cannot store.
"""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from io import BytesIO
from pathlib import PurePath
from typing import Any, Final, Protocol

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.subtitles.stream import SubtitleStream

from farm.media.film.codecs import Container, container_of
from farm.media.film.decoding import CLOCK_RESET, open_container
from farm.media.film.window import Window

__all__ = ["add_sound", "can_store", "describe_sound_changes"]

Sound = Iterator["Packet[Any]"]

_BIT_RATE: Final = 96_000
"""Bits per second and channel of encoded sound."""

_LAYOUTS: Final = {1: "mono", 2: "stereo", 6: "5.1"}
"""Layouts by number of channels; any other number becomes stereo."""

_RATES: Final = (48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 8_000)


def describe_sound_changes(source: str, output: str) -> tuple[str, ...]:
    """Return a note for each sound track of the source that the output cannot copy.

    Raises BadInput if the source cannot be opened, BadOutput for a suffix that cannot be written.
    """
    container, suffix = container_of(output), PurePath(output).suffix.lower()
    notes = []
    with open_container(source) as film:
        for number, stream in enumerate(film.streams.audio, start=1):
            if not container.sound_encoder:
                notes.append(f"sound track {number} is left out: {suffix} cannot store sound")
            elif stream.codec_context is None:
                notes.append(f"sound track {number} is left out: its codec is not supported")
            elif not _can_copy(stream, container):
                codec = container.sound_encoder.removeprefix("lib")
                change = f"is converted from {_codec(stream)} to {codec}"
                notes.append(f"sound track {number} {change}: {suffix} cannot store the original")
    return tuple(notes)


def add_sound(
    out: OutputContainer,
    container: Container,
    source: InputContainer,
    window: Window,
) -> Sound:
    """Add the source's sound and subtitles to a film and return their packets, in order of time.

    Time 0 is the source's, so that sound stays in sync with pictures that start later or earlier.
    window: the part of the source to take; packets of sound that start in it are taken whole.
    """
    tracks: dict[int, _Track] = {}
    for stream in source.streams.audio:
        if stream.codec_context is not None:
            kind = _CopiedTrack if _can_copy(stream, container) else _EncodedTrack
            tracks[stream.index] = kind(out, container, stream, window)
    for subtitle in source.streams.subtitles:
        if can_store(subtitle, container):
            tracks[subtitle.index] = _SubtitleTrack(out, subtitle, window)
    return _packets(source, tracks)


class _Track(Protocol):
    def take(self, packet: "Packet[Any]") -> Sound: ...
    def finish(self) -> Sound: ...


def can_store(stream: SubtitleStream, container: Container) -> bool:
    """Return whether a container can store a subtitle track as it is."""
    return bool(container.sound_encoder) and _muxer_accepts(stream, container)


def _can_copy(stream: AudioStream, container: Container) -> bool:
    is_allowed = container.sound_codecs is None or _codec(stream) in container.sound_codecs
    return is_allowed and _muxer_accepts(stream, container)


def _muxer_accepts(stream: AudioStream | SubtitleStream, container: Container) -> bool:
    """Return whether the container's muxer accepts the track; it refuses some codecs and rates."""
    probe = av.open(BytesIO(), "w", container.name)
    try:
        probe.add_stream_from_template(stream, opaque=True)
        probe.start_encoding()
    except (FFmpegError, ValueError):
        return False
    else:
        return True
    finally:
        with suppress(FFmpegError):
            probe.close()


def _codec(stream: AudioStream) -> str:
    return stream.codec_context.codec.canonical_name


def _packets(source: InputContainer, tracks: dict[int, _Track]) -> Sound:
    if not tracks:
        return
    try:
        for packet in source.demux([source.streams[index] for index in tracks]):
            if packet.size:
                yield from tracks[packet.stream_index].take(packet)
    except FFmpegError:
        pass  # a truncated track ends here
    for track in tracks.values():
        yield from track.finish()


class _CopiedTrack:
    """A track whose packets are copied, at increasing times.

    If its clock is reset, sound continues after the last packet, as does a packet without a time.
    """

    def __init__(
        self, out: OutputContainer, _: Container, stream: AudioStream, window: Window
    ) -> None:
        self._stream = out.add_stream_from_template(stream, opaque=True)
        _copy_tags(self._stream, stream)
        self._window = window
        self._last: int | None = None
        self._following: int | None = None
        self._reset = 0

    def take(self, packet: "Packet[Any]") -> Sound:
        start = self._start(packet)
        if start is None or not self._window.contains(start * packet.time_base):
            return
        shift = self._window.shift(packet.time_base) - self._reset
        dts = (start if packet.dts is None else packet.dts) - shift
        if self._last is not None and self._last - dts >= CLOCK_RESET / packet.time_base:
            back = self._last + (packet.duration or 1) - dts
            self._reset, shift, dts = self._reset + back, shift - back, dts + back
        packet.dts = dts if self._last is None else max(dts, self._last + 1)
        packet.pts = max(packet.dts, start - shift)
        packet.stream, self._last = self._stream, packet.dts
        yield packet

    def _start(self, packet: "Packet[Any]") -> int | None:
        """Return when a packet starts; None if neither it nor the one before it has a time."""
        times = (time for time in (packet.pts, packet.dts, self._following) if time is not None)
        start = next(times, None)
        self._following = None if start is None else start + (packet.duration or 0)
        return start

    def finish(self) -> Sound:
        yield from ()


class _SubtitleTrack:
    """A track whose texts or pictures are copied, cut to the window."""

    def __init__(self, out: OutputContainer, stream: SubtitleStream, window: Window) -> None:
        self._stream = out.add_stream_from_template(stream, opaque=True)
        _copy_tags(self._stream, stream)
        self._window = window
        self._last: int | None = None

    def take(self, packet: "Packet[Any]") -> Sound:
        if packet.pts is None:
            return
        unit, start = packet.time_base, packet.pts * packet.time_base
        begin, end = self._window.cut(start, start + (packet.duration or 0) * unit)
        if begin >= end and not (self._window.contains(start) and not packet.duration):
            return
        time = round(begin / unit)
        packet.pts = packet.dts = time if self._last is None else max(time, self._last)
        packet.duration = max(0, round(end / unit) - packet.pts)
        packet.stream, self._last = self._stream, packet.pts
        yield packet

    def finish(self) -> Sound:
        yield from ()


class _EncodedTrack:
    """A track that is decoded and encoded again."""

    def __init__(
        self, out: OutputContainer, container: Container, stream: AudioStream, window: Window
    ) -> None:
        source = stream.codec_context
        rate = source.sample_rate if source.sample_rate in _RATES else _RATES[0]
        rate = _RATES[0] if container.sound_encoder == "libopus" else rate
        layout = _LAYOUTS.get(source.channels, "stereo")
        encoder = out.add_stream(container.sound_encoder, rate=rate)
        assert isinstance(encoder, AudioStream)
        context = encoder.codec_context
        context.layout = layout
        context.bit_rate = _BIT_RATE * context.layout.nb_channels
        context.open()
        _copy_tags(encoder, stream)
        self._encoder, self._decoder, self._window = encoder, source, window
        self._following: Fraction | None = None
        self._resampler = AudioResampler(context.format, layout, rate, context.frame_size)

    def take(self, packet: "Packet[Any]") -> Sound:
        try:
            frames = self._decoder.decode(packet)
        except FFmpegError:
            return
        for frame in frames:
            start = self._start(frame)
            if start is not None and self._window.contains(start):
                assert frame.time_base
                frame.pts = round(start / frame.time_base) - self._window.shift(frame.time_base)
                yield from self._encode(frame)

    def _start(self, frame: AudioFrame) -> Fraction | None:
        """Return when a frame starts; None if neither it nor the one before it has a time."""
        frame.time_base = frame.time_base or Fraction(1, frame.sample_rate)
        start = self._following if frame.pts is None else frame.pts * frame.time_base
        length = Fraction(frame.samples, frame.sample_rate)
        self._following = None if start is None else start + length
        return start

    def finish(self) -> Sound:
        yield from self._encode(None)
        yield from self._encoder.encode(None)

    def _encode(self, frame: AudioFrame | None) -> Sound:
        for resampled in self._resampler.resample(frame):
            yield from self._encoder.encode(resampled)


def _copy_tags(track: Any, source: AudioStream | SubtitleStream) -> None:
    """Copy the source's language and title to the track, and whether players choose it."""
    track.disposition = source.disposition
    for name, text in source.metadata.items():
        if name.lower() in {"language", "title"}:
            track.metadata[name] = text
